package acceptance

import "regexp"

// personal matches what identifies a customer in the airline's conversations: e-mail
// addresses, dates of birth, payment ids.
var personal = regexp.MustCompile(`[a-z0-9._]+@example\.com|(?:credit_card|gift_card|certificate)_[0-9]+|(?:19[3-9][0-9]|200[0-9])-[01][0-9]-[0-3][0-9]`)
