-- One row per cohort of some datasets under a version of a protocol: dataset, part, cohort_id, content_hash.
-- Parameters: datasets (names), protocol, version.
select dataset.name as dataset, cohort.part, cohort.id as cohort_id, cohort.content_hash
from cohort
join dataset on dataset.id = cohort.dataset_id
join protocol on protocol.id = cohort.protocol_id
where dataset.name = any(:datasets) and protocol.name = :protocol and protocol.version = :version
