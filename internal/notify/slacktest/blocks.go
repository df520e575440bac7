package slacktest

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
)

type textObject struct {
	Type     string `json:"type"`
	Text     string `json:"text"`
	Emoji    *bool  `json:"emoji"`
	Verbatim bool   `json:"verbatim"`
}

type block struct {
	Type     string            `json:"type"`
	Text     *textObject       `json:"text"`
	Fields   []textObject      `json:"fields"`
	Elements []json.RawMessage `json:"elements"`
}

type button struct {
	Type     string     `json:"type"`
	Text     textObject `json:"text"`
	ActionID string     `json:"action_id"`
	Value    string     `json:"value"`
}

// CheckBlocks refuses blocks that Slack would (docs.slack.dev, Block Kit), and those in which text of others could be more than text: mrkdwn without
// verbatim, in which links and names are looked for, and control sequences in angle brackets.
func CheckBlocks(text []byte) error {
	var blocks []block
	if err := json.Unmarshal(text, &blocks); err != nil {
		return errors.New("no blocks")
	}
	if len(blocks) > 50 {
		return fmt.Errorf("%d blocks", len(blocks))
	}
	for i, b := range blocks {
		if err := b.check(); err != nil {
			return fmt.Errorf("block %d, %s: %w", i, b.Type, err)
		}
	}
	return nil
}

func (b *block) check() error {
	switch b.Type {
	case "header":
		if b.Text == nil || b.Text.Type != "plain_text" {
			return errors.New("needs plain text")
		}
		return b.Text.check(150)
	case "section":
		if b.Text == nil && len(b.Fields) == 0 || len(b.Fields) > 10 {
			return fmt.Errorf("text or at most 10 fields, has %d", len(b.Fields))
		}
		if b.Text != nil {
			if err := b.Text.check(3000); err != nil {
				return err
			}
		}
		for i := range b.Fields {
			if err := b.Fields[i].check(2000); err != nil {
				return err
			}
		}
	case "context":
		if len(b.Elements) == 0 || len(b.Elements) > 10 {
			return fmt.Errorf("%d elements", len(b.Elements))
		}
		for _, text := range b.Elements {
			var t textObject
			if err := json.Unmarshal(text, &t); err != nil {
				return errors.New("an element that is no text")
			}
			if err := t.check(3000); err != nil {
				return err
			}
		}
	case "actions":
		return b.checkButtons()
	default:
		return errors.New("is not known here")
	}
	return nil
}

func (b *block) checkButtons() error {
	seen := map[string]bool{}
	for _, text := range b.Elements {
		var e button
		if err := json.Unmarshal(text, &e); err != nil || e.Type != "button" || e.Text.Type != "plain_text" {
			return errors.New("an element that is no button")
		}
		if e.ActionID == "" || len(e.ActionID) > 255 || len(e.Value) > 2000 || seen[e.ActionID] {
			return errors.New("a button without an id of its own")
		}
		seen[e.ActionID] = true
		if err := e.Text.check(75); err != nil {
			return err
		}
	}
	if len(seen) == 0 || len(seen) > 25 {
		return fmt.Errorf("%d buttons", len(seen))
	}
	return nil
}

// entity is the only thing that may begin with &.
var entity = regexp.MustCompile(`&(amp|lt|gt);`)

func (t *textObject) check(limit int) error {
	if n := len([]rune(t.Text)); n == 0 || n > limit {
		return fmt.Errorf("%d characters, at most %d", n, limit)
	}
	switch t.Type {
	case "plain_text":
		if t.Emoji == nil || *t.Emoji {
			return errors.New("emoji would be looked for")
		}
	case "mrkdwn":
		if !t.Verbatim || t.Emoji != nil {
			return errors.New("links and names would be looked for")
		}
		if regexp.MustCompile(`[<>&]`).MatchString(entity.ReplaceAllString(t.Text, "")) {
			return errors.New("a control sequence")
		}
	default:
		return fmt.Errorf("type %q", t.Type)
	}
	return nil
}
