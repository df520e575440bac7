package chain

// LogName returns the name of the log of a partition: `<topic>/<partition>`, with `.<generation>` behind it for a successor (generation ≥ 1).
func LogName(topic string, partition, generation int) string { return "" }

// ParseLog takes a log's name apart. It accepts exactly what LogName writes for a topic that Kafka allows (1 to 249 characters out of A-Z a-z 0-9 . _ -).
func ParseLog(log string) (topic string, partition, generation int, err error) { return "", 0, 0, nil }
