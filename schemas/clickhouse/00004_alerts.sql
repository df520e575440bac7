-- +goose NO TRANSACTION
-- +goose Up

-- Incidents as the detector said them in the log, the latest revision of each, with what people said about it. A view, so that it can say nothing that the log
-- does not: an entry alert.incident for each revision, an entry alert.order for each answer.
CREATE VIEW IF NOT EXISTS {{.Database}}.alerts {{.OnCluster}} AS
WITH
    said AS
    (
        SELECT
            toUUIDOrZero(attributes['incident']) AS incident,
            toUInt32OrZero(attributes['revision']) AS number,
            parseDateTime64BestEffortOrZero(attributes['noticed'], 6, 'UTC') AS noticed_at,
            parseDateTime64BestEffortOrZero(attributes['first'], 6, 'UTC') AS first_at,
            parseDateTime64BestEffortOrZero(attributes['last'], 6, 'UTC') AS last_at,
            e.tenant AS said_tenant, e.action AS said_status, e.sealed_at AS said_sealed, e.log AS said_log, e.seq AS said_seq, e.attributes AS a
        FROM {{.Database}}.events AS e
        WHERE kind = 'system' AND type = 'alert.incident'
    ),
    answered AS
    (
        SELECT
            toUUIDOrZero(attributes['incident']) AS incident,
            argMax(action, (sealed_at, log, seq)) AS answer,
            argMax(parseDateTime64BestEffortOrZero(attributes['until'], 6, 'UTC'), (sealed_at, log, seq)) AS answer_until,
            argMax(attributes['by'], (sealed_at, log, seq)) AS answer_by
        FROM {{.Database}}.events
        WHERE kind = 'system' AND type = 'alert.order' AND attributes['incident'] != ''
        GROUP BY incident
    )
SELECT
    s.incident AS id,
    max(s.number) AS revision,
    argMax(s.noticed_at, s.number) AS time,
    argMax(s.first_at, s.number) AS first,
    argMax(s.last_at, s.number) AS last,
    argMax(s.said_tenant, s.number) AS tenant,
    argMax(s.a['kind'], s.number) AS kind,
    toUUIDOrZero(argMax(s.a['subject'], s.number)) AS subject,
    argMax(s.a['entity'], s.number) AS entity,
    argMax(s.a['severity'], s.number) AS severity,
    argMax(s.a['title'], s.number) AS title,
    argMax(s.a['signals'], s.number) AS signals,
    arrayMap(x -> toUUIDOrZero(x), JSONExtract(argMax(s.a['entries'], s.number), 'Array(String)')) AS entries,
    toUInt64OrZero(argMax(s.a['event_count'], s.number)) AS event_count,
    toFloat64OrZero(argMax(s.a['cost_usd'], s.number)) AS cost_usd,
    argMax(s.said_status, s.number) AS status,
    argMax(s.a['summarised'], s.number) = 'true' AS summarised,
    any(o.answer) AS answer,
    any(o.answer_until) AS answer_until,
    any(o.answer_by) AS answer_by,
    argMax(s.said_sealed, s.number) AS sealed_at,
    argMax(s.said_log, s.number) AS log,
    argMax(s.said_seq, s.number) AS seq
FROM said AS s
LEFT JOIN answered AS o ON o.incident = s.incident
GROUP BY s.incident;
