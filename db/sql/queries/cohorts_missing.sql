-- One row per (dataset, protocol of a model or study) that is not split yet: dataset_id, dataset, protocol, version.
select dataset.id as dataset_id, dataset.name as dataset, protocol.name as protocol, protocol.version
from dataset
cross join protocol
where protocol.id in (select protocol_id from model union all select protocol_id from study)
and not exists (select from cohort where cohort.dataset_id = dataset.id and cohort.protocol_id = protocol.id)
order by dataset.id, protocol.id
