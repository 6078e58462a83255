-- One row per (model, protocol) under which a model has scored the test images of dataset a and dataset b has test images too:
-- model_id, model, card, evaluation_id, cohort_id, image_list_id, dataset, site, protocol, target_list_id, task_ids (scored).
-- Parameters: model (a name), a, b (names of datasets), protocol (a name, or NULL for each).
select model.id as model_id, model.name as model, model.card, evaluation.id as evaluation_id, cohort.id as cohort_id,
    cohort.image_list_id, dataset.name as dataset, site.name as site, protocol.name as protocol,
    of_target.image_list_id as target_list_id,
    array(select task_id from prediction where evaluation_id = evaluation.id and piece = 0 order by task_id) as task_ids
from model
join evaluation on evaluation.model_id = model.id
join cohort on cohort.image_list_id = evaluation.image_list_id and cohort.part = 'test'
    and (model.protocol_id = cohort.protocol_id or model.protocol_id is null)
join dataset on dataset.id = cohort.dataset_id and dataset.name = :a
join site on site.id = dataset.site_id
join protocol on protocol.id = cohort.protocol_id and protocol.name = coalesce(:protocol, protocol.name)
join cohort as of_target on of_target.protocol_id = cohort.protocol_id and of_target.part = 'test'
join dataset as target on target.id = of_target.dataset_id and target.name = :b
where model.name = :model
order by protocol.id
