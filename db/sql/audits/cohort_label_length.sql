-- cohort_label_length: labels of a cohort that are not as many as its images, or are not as many positive and negative as it says.
-- Columns: dataset, protocol, part, task, labels, images, n_pos, counted_pos, n_neg, counted_neg.
-- Then: restore a backup from before; a cohort is frozen and can't be repaired. Results of it are not to be trusted.
select dataset.name as dataset, protocol.name as protocol, cohort.part, task.name as task,
    cardinality(cohort_label.labels) as labels, image_list.length as images, cohort_label.n_pos, counted.pos as counted_pos,
    cohort_label.n_neg, counted.neg as counted_neg
from cohort_label
join cohort on cohort.id = cohort_label.cohort_id
join image_list on image_list.id = cohort.image_list_id
left join dataset on dataset.id = cohort.dataset_id
left join protocol on protocol.id = cohort.protocol_id
left join task on task.id = cohort_label.task_id
cross join lateral (
    select cardinality(array_positions(cohort_label.labels, 1::smallint)) as pos,
        cardinality(array_positions(cohort_label.labels, 0::smallint)) as neg,
        cardinality(array_positions(cohort_label.labels, null)) as missing
) as counted
where cardinality(cohort_label.labels) <> image_list.length or cohort_label.n_pos <> counted.pos
    or cohort_label.n_neg <> counted.neg or counted.pos + counted.neg + counted.missing <> cardinality(cohort_label.labels)
