-- +goose Up

-- What receivers of alerts (channels of Slack, a webhook) are to be told: an incident's latest revision, or the summary of a day. Of a person it has the
-- pseudonym at most. Rows go some time after their last change, once everybody was told.
CREATE TABLE notices (
    id                   BYTEA   NOT NULL PRIMARY KEY CHECK (length(id) = 16), -- of the incident
    kind                 TEXT    NOT NULL CHECK (kind IN ('incident', 'digest')),
    part                 BIGINT  NOT NULL,           -- partition of the topic of alerts that it came from: whoever reads that one sends it
    revision             BIGINT  NOT NULL,           -- of the incident
    version              BIGINT  NOT NULL DEFAULT 1, -- rises with each change of what is shown: revisions and verdicts
    severity             BIGINT  NOT NULL,
    status               TEXT    NOT NULL,
    summarised           BIGINT  NOT NULL,
    tenant               TEXT    NOT NULL,
    at_micros            BIGINT  NOT NULL, -- in the events' time
    changed_micros       BIGINT  NOT NULL, -- by the clock of the process that read it
    body                 TEXT    NOT NULL, -- the record, JSON
    verdict              TEXT    NOT NULL DEFAULT '', -- what somebody said of it by a button
    verdict_by           TEXT    NOT NULL DEFAULT '', -- pseudonym
    verdict_until_micros BIGINT  NOT NULL DEFAULT 0,
    verdict_micros       BIGINT  NOT NULL DEFAULT 0
);
CREATE INDEX notices_at ON notices (kind, at_micros);
CREATE INDEX notices_changed ON notices (changed_micros);

-- How far each receiver is.
CREATE TABLE notice_posts (
    notice            BYTEA   NOT NULL REFERENCES notices (id),
    target            TEXT    NOT NULL,
    pending           BIGINT  NOT NULL, -- 3: it was told nothing yet, 2: an older version, 1: all but the details, 0: everything
    waiting_micros    BIGINT  NOT NULL, -- since when pending is 2 or more
    not_before_micros BIGINT  NOT NULL DEFAULT 0,  -- it was refused; the next attempt is not before this
    sent_version      BIGINT  NOT NULL DEFAULT 0,
    sent_revision     BIGINT  NOT NULL DEFAULT 0,
    channel           TEXT    NOT NULL DEFAULT '', -- where the message is, as Slack names it
    ts                TEXT    NOT NULL DEFAULT '',
    posting_micros    BIGINT  NOT NULL DEFAULT 0,  -- a message was begun, and whether it is there is not known; 0: none
    told_version      BIGINT  NOT NULL DEFAULT 0,  -- the same for the details in the message's thread
    told              TEXT    NOT NULL DEFAULT '', -- what the thread says last, in short
    telling_micros    BIGINT  NOT NULL DEFAULT 0,
    PRIMARY KEY (notice, target)
);
CREATE INDEX notice_posts_pending ON notice_posts (target, pending, waiting_micros) WHERE pending > 0;
