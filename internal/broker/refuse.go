package broker

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/agentaudit/agentaudit/internal/kafkaio"
)

// refuser has kfake refuse what it would take and Apache Kafka does not: topics whose names are none, and batches whose
// records are not those that they announce, which no consumer could get past. The rest of such a request is done. It
// belongs to kfake's own goroutine, in which the functions below run.
type refuser struct {
	cluster *kfake.Cluster
	checker *kafkaio.BatchChecker
	faults  *kfake.FaultHandle // of the request before
}

// refuseRequests begins to refuse.
func refuseRequests(cluster *kfake.Cluster) {
	r := &refuser{cluster: cluster, checker: kafkaio.NewBatchChecker()}
	control := func(key kmsg.Key, faults func(kmsg.Request) []kfake.Fault) {
		cluster.ControlKey(int16(key), func(req kmsg.Request) (kmsg.Response, error, bool) {
			cluster.KeepControl()
			r.install(req, faults(req))
			return nil, nil, false
		})
	}
	control(kmsg.CreateTopics, badNames)
	control(kmsg.Produce, r.badBatches)
}

// install makes parts of one request fail. kfake forgets a fault that it has used; the others, where it found another reason to
// refuse, go here.
func (r *refuser) install(req kmsg.Request, faults []kfake.Fault) {
	if r.faults != nil {
		r.faults.Remove()
		r.faults = nil
	}
	if len(faults) == 0 {
		return
	}
	for i := range faults {
		faults[i].Count = 1
		faults[i].When = func(other kmsg.Request) bool { return other == req }
	}
	r.faults = r.cluster.Fault(faults...)
}

func badNames(req kmsg.Request) (faults []kfake.Fault) {
	create, ok := req.(*kmsg.CreateTopicsRequest)
	if !ok {
		return nil
	}
	for i := range create.Topics {
		switch topic := &create.Topics[i]; {
		case topic.Topic == "":
			// A fault without a name would be that of all topics. This is refused, too, if with another error.
			topic.NumPartitions, topic.ReplicaAssignment = 0, nil
		case !validTopic(topic.Topic):
			faults = append(faults, kfake.Fault{Keys: []kmsg.Key{kmsg.CreateTopics}, Topic: topic.Topic, Err: kerr.InvalidTopicException})
		}
	}
	return faults
}

func (r *refuser) badBatches(req kmsg.Request) (faults []kfake.Fault) {
	produce, ok := req.(*kmsg.ProduceRequest)
	if !ok {
		return nil
	}
	for i := range produce.Topics {
		topic := &produce.Topics[i]
		for j := range topic.Partitions {
			part := &topic.Partitions[j]
			if len(part.Records) <= maxBatchBytes && r.lies(part.Records) {
				faults = append(faults, kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: topic.Topic, TopicID: topic.TopicID,
					Partitions: []int32{part.Partition}, Err: kerr.InvalidRecord})
			}
		}
	}
	return faults
}

// lies says that a batch came as it was made, but has other records than it announces. What kfake refuses itself is not
// looked at further: bytes that are no batch, and damage on the way.
func (r *refuser) lies(b []byte) bool {
	if len(b) < batchHeaderBytes {
		return false
	}
	delta, count := int32(binary.BigEndian.Uint32(b[23:])), int32(binary.BigEndian.Uint32(b[57:]))
	if count > 0 && delta == count-1 && r.checker.Check(b) == nil {
		return false
	}
	return crc32.Checksum(b[batchSummedAt:], castagnoli) == binary.BigEndian.Uint32(b[batchCRCAt:])
}
