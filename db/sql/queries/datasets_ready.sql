-- One row per dataset that is registered and split under a protocol: dataset. Parameters: names, protocol.
select dataset.name as dataset
from dataset
where dataset.name = any(:names)
and exists (
    select from cohort
    join protocol on protocol.id = cohort.protocol_id
    where cohort.dataset_id = dataset.id and cohort.part = 'test' and protocol.name = :protocol
)
