-- +goose NO TRANSACTION
-- +goose Up

-- Views for people and dashboards, over events of agents. They are plain views and not roll-ups: a materialized view is filled by inserts, and
-- would count an insert whose rows the table then dropped as a duplicate, while a grouped scan of a few narrow columns takes about 30 ms a million rows.

CREATE VIEW IF NOT EXISTS {{.Database}}.daily_cost {{.OnCluster}} AS
SELECT
    toDate(time) AS day,
    tenant,
    agent_name,
    provider,
    model,
    count() AS calls,
    sum(e.input_tokens) AS input_tokens,
    sum(e.output_tokens) AS output_tokens,
    sum(e.cost_usd) AS cost_usd
FROM {{.Database}}.events AS e
WHERE kind = 'event' AND (model != '' OR e.cost_usd > 0)
GROUP BY day, tenant, agent_name, provider, model;

CREATE VIEW IF NOT EXISTS {{.Database}}.tool_use {{.OnCluster}} AS
SELECT
    toDate(time) AS day,
    tenant,
    agent_name,
    tool,
    count() AS calls,
    uniq(subject) AS subjects,
    countIf(outcome = 'failure') AS failures,
    countIf(outcome IN ('denied', 'blocked')) AS refused,
    avg(duration_ms) AS mean_duration_ms,
    quantile(0.95)(duration_ms) AS p95_duration_ms,
    sum(e.rows) AS rows
FROM {{.Database}}.events AS e
WHERE kind = 'event' AND tool != ''
GROUP BY day, tenant, agent_name, tool;

CREATE VIEW IF NOT EXISTS {{.Database}}.denials {{.OnCluster}} AS
SELECT log, seq, event_id, time, tenant, subject, session_id, agent_name, type, action, outcome, tool, resource_type, resource_id,
    risk, approval_decision, approval_policy, approver, error_type
FROM {{.Database}}.events AS e
WHERE kind = 'event' AND outcome IN ('denied', 'blocked');

CREATE VIEW IF NOT EXISTS {{.Database}}.findings {{.OnCluster}} AS
SELECT log, seq, event_id, time, tenant, subject, session_id, agent_name, type, tool, threat, arrayJoin(e.findings) AS finding
FROM {{.Database}}.events AS e
WHERE kind = 'event' AND notEmpty(e.findings);

CREATE VIEW IF NOT EXISTS {{.Database}}.sessions {{.OnCluster}} AS
SELECT
    tenant,
    subject,
    session_id,
    min(time) AS started,
    max(time) AS ended,
    count() AS events,
    countIf(tool != '') AS tool_calls,
    countIf(outcome = 'failure') AS failures,
    countIf(outcome IN ('denied', 'blocked')) AS refused,
    sum(e.input_tokens) AS input_tokens,
    sum(e.output_tokens) AS output_tokens,
    sum(e.cost_usd) AS cost_usd,
    max(e.threat) AS threat,
    groupUniqArrayArray(e.findings) AS findings
FROM {{.Database}}.events AS e
WHERE kind = 'event' AND session_id != ''
GROUP BY tenant, subject, session_id;
