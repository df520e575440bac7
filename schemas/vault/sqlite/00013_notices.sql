-- +goose Up

-- What receivers of alerts (channels of Slack, a webhook) are to be told: an incident's latest revision, or the summary of a day. Of a person it has the
-- pseudonym at most. Rows go some time after their last change, once everybody was told.
CREATE TABLE notices (
    id                   BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16), -- of the incident
    kind                 TEXT    NOT NULL CHECK (kind IN ('incident', 'digest')),
    part                 INTEGER NOT NULL,           -- partition of the topic of alerts that it came from: whoever reads that one sends it
    revision             INTEGER NOT NULL,           -- of the incident
    version              INTEGER NOT NULL DEFAULT 1, -- rises with each change of what is shown: revisions and verdicts
    severity             INTEGER NOT NULL,
    status               TEXT    NOT NULL,
    summarised           INTEGER NOT NULL,
    tenant               TEXT    NOT NULL,
    at_micros            INTEGER NOT NULL, -- in the events' time
    changed_micros       INTEGER NOT NULL, -- by the clock of the process that read it
    body                 TEXT    NOT NULL, -- the record, JSON
    verdict              TEXT    NOT NULL DEFAULT '', -- what somebody said of it by a button
    verdict_by           TEXT    NOT NULL DEFAULT '', -- pseudonym
    verdict_until_micros INTEGER NOT NULL DEFAULT 0,
    verdict_micros       INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX notices_at ON notices (kind, at_micros);
CREATE INDEX notices_changed ON notices (changed_micros);

-- How far each receiver is.
CREATE TABLE notice_posts (
    notice            BLOB    NOT NULL REFERENCES notices (id),
    target            TEXT    NOT NULL,
    pending           INTEGER NOT NULL, -- 3: it was told nothing yet, 2: an older version, 1: all but the details, 0: everything
    waiting_micros    INTEGER NOT NULL, -- since when pending is 2 or more
    not_before_micros INTEGER NOT NULL DEFAULT 0,  -- it was refused; the next attempt is not before this
    sent_version      INTEGER NOT NULL DEFAULT 0,
    sent_revision     INTEGER NOT NULL DEFAULT 0,
    channel           TEXT    NOT NULL DEFAULT '', -- where the message is, as Slack names it
    ts                TEXT    NOT NULL DEFAULT '',
    posting_micros    INTEGER NOT NULL DEFAULT 0,  -- a message was begun, and whether it is there is not known; 0: none
    told_version      INTEGER NOT NULL DEFAULT 0,  -- the same for the details in the message's thread
    told              TEXT    NOT NULL DEFAULT '', -- what the thread says last, in short
    telling_micros    INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (notice, target)
) STRICT;
CREATE INDEX notice_posts_pending ON notice_posts (target, pending, waiting_micros) WHERE pending > 0;
