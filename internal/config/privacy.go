package config

import "time"

// Privacy says how people's rights are kept.
type Privacy struct {
	// BreachNotice is the time in which the authority must be told of a breach of personal data, from its detection on (GDPR Art. 33: 72h); 1h to
	// 720h. A change holds for breaches that are opened afterwards.
	BreachNotice time.Duration `yaml:"breach_notice"`
}

func defaultPrivacy() Privacy { return Privacy{BreachNotice: 72 * time.Hour} }

func (p *Privacy) validate() error {
	return within("privacy.breach_notice", p.BreachNotice, time.Hour, 720*time.Hour)
}
