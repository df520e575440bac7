package chain

import "encoding/base64"

// Entry is a whole entry decoded. Byte slices alias the bytes that were parsed.
type Entry struct {
	Header Header

	// Of events.
	HasSubject   bool // false for an event that has no user
	Subject      [16]byte
	DataSubjects [][16]byte
	IP           []byte // token in hex, or clear text by policy, as it stands inside of the JSON string; nil if absent
	Findings     []string
	Threat       string

	// Of events and system records.
	EventID [16]byte
	Event   []byte // the JSON object: public fields of an event, the signed record of a system entry

	// Of system records.
	Author    string
	Signature []byte

	// Of rejected records.
	Rejected Rejected

	// Of control entries.
	Control *Control

	// Of events and rejected records: the JSON object that gdpr.ParseSealed reads; nil if there is none.
	Content []byte
}

// ParseEntry decodes a whole entry into e, which it overwrites. It is as strict as ParseHeader about the header and about the order and form of the
// body's own members; event and content must be JSON objects in UTF-8 without repeated keys.
func ParseEntry(entry []byte, e *Entry) error {
	*e = Entry{Header: Header{Log: e.Header.Log}}
	body, err := ParseHeader(entry, &e.Header)
	if err != nil {
		return err
	}
	in := cursor{bytes: body}
	switch e.Header.Kind {
	case KindEvent:
		err = e.parseEvent(&in)
	case KindSystem:
		err = e.parseSystem(&in)
	case KindRejected:
		if err = in.rejected(&e.Rejected); err == nil {
			err = e.parseContent(&in)
		}
	case KindControl:
		if e.Control, err = ParseControl(body); err != nil {
			return err
		}
		if reason := e.Control.contradicts(&e.Header); reason != "" {
			return in.malformed("control (" + reason + ")")
		}
		return nil
	}
	if err != nil {
		return err
	}
	if !in.done() {
		return in.malformed("end of body")
	}
	return nil
}

func (e *Entry) parseEvent(in *cursor) error {
	var parts eventParts
	if err := in.event(&parts); err != nil {
		return err
	}
	e.HasSubject, e.Subject, e.EventID = parts.hasSubject, parts.subject, parts.eventID
	for list := parts.dataSubjects; len(list) > 0; {
		var id [16]byte
		parseUUID(&id, list[1:])
		e.DataSubjects = append(e.DataSubjects, id)
		list = list[min(len(list), len(`"",`)+uuidBytes):]
	}
	in.at = parts.object
	var err error
	if e.Event, err = in.object("event"); err != nil {
		return err
	}
	if in.literal(`,"ip":`) {
		s := scanner{bytes: in.bytes, at: in.at}
		if in.at == len(in.bytes) || in.bytes[in.at] != '"' {
			return in.malformed("ip")
		}
		quoted, err := s.string()
		if err != nil {
			return in.malformed("ip")
		}
		e.IP, in.at = quoted[1:len(quoted)-1], s.at
	}
	if err := e.parseFindings(in); err != nil {
		return err
	}
	if in.literal(`,"threat":"`) {
		for _, threat := range threats {
			if in.literal(threat) {
				e.Threat = threat
				break
			}
		}
		if e.Threat == "" || !in.literal(`"`) {
			return in.malformed("threat")
		}
	}
	return e.parseContent(in)
}

// parseFindings reads `,"findings":["a.b",…]`, if it is there.
func (e *Entry) parseFindings(in *cursor) error {
	if !in.literal(`,"findings":[`) {
		return nil
	}
	for more := true; more; more = in.literal(`,`) {
		if !in.literal(`"`) {
			return in.malformed("findings")
		}
		finding := string(in.name())
		if !validName(finding) || !in.literal(`"`) {
			return in.malformed("findings")
		}
		e.Findings = append(e.Findings, finding)
	}
	if !in.literal(`]`) {
		return in.malformed("findings")
	}
	return nil
}

func (e *Entry) parseSystem(in *cursor) error {
	author, sig, err := in.system()
	if err != nil {
		return err
	}
	e.Author, e.Signature = string(author), make([]byte, signatureBytes)
	if _, err := base64.StdEncoding.Decode(e.Signature, sig); err != nil {
		return in.malformed("sig")
	}
	e.Event = in.bytes[in.at:]
	if e.EventID, err = recordEventID(e.Event); err != nil {
		return in.malformed("event (" + err.Error() + ")")
	}
	in.at = len(in.bytes)
	return nil
}

// parseContent reads `,"content":{…}`, if it is there.
func (e *Entry) parseContent(in *cursor) (err error) {
	if in.literal(`,"content":`) {
		e.Content, err = in.object("content")
	}
	return err
}

// object reads a JSON object.
func (c *cursor) object(member string) ([]byte, error) {
	if c.at == len(c.bytes) || c.bytes[c.at] != '{' {
		return nil, c.malformed(member)
	}
	s := scanner{bytes: c.bytes, at: c.at}
	if err := s.object(0, nil); err != nil {
		return nil, c.malformed(member + " (" + err.Error() + ")")
	}
	object := c.bytes[c.at:s.at]
	c.at = s.at
	return object, nil
}
