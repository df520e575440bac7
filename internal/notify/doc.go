// Package notify brings incidents from the topic of alerts to people: to Slack, to a webhook, and without these to the log of the process.
//
// The topic's records are first kept in the vault (see vault.Notice), then committed, then sent from there: what was not sent when the process ended is
// sent by the next one, and an outage of any length delays and loses nothing. Each receiver is brought to the latest revision; earlier ones that were not
// sent yet are left out. A message of whose posting nobody knows whether it took effect is looked up in the channel by the incident's id, which stands in
// the message's metadata, before it is posted again.
//
// It is the only package that imports Slack's client. Nothing here shows content, and identities only if that is configured.
package notify
