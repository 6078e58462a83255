-- One row per evaluation that a flow run wrote: evaluation_id, model, datasets, n_images. Parameter: flow_run, its id.
select evaluation.id as evaluation_id, model.name as model, image_list.length as n_images,
    array(
        select distinct dataset.name from cohort join dataset on dataset.id = cohort.dataset_id
        where cohort.image_list_id = image_list.id and cohort.part = 'test'
    ) as datasets
from evaluation
join model on model.id = evaluation.model_id
join image_list on image_list.id = evaluation.image_list_id
where evaluation.provenance ->> 'flow_run' = :flow_run
order by evaluation.id
