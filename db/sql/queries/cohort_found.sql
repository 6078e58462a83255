-- One row: the frozen cohort of a dataset under a version of a protocol: cohort_id, image_list_id, dataset, site, protocol,
-- part. Parameters: dataset, protocol, version, part.
select
    cohort.id as cohort_id, cohort.image_list_id, dataset.name as dataset, site.name as site, protocol.name as protocol,
    cohort.part
from cohort
join dataset on dataset.id = cohort.dataset_id
join site on site.id = dataset.site_id
join protocol on protocol.id = cohort.protocol_id
where dataset.name = :dataset and protocol.name = :protocol and protocol.version = :version and cohort.part = :part
