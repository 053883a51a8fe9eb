-- One row: a record and the cluster, one person, that it belongs to.
-- Materialised as `identity`: the rows selected here are edges, and the table
-- holds what they join (`record`, `cluster_id`).
select record, kind, identifier, exclude_reason
from id_edges
