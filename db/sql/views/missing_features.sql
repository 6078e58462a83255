-- missing_features: one row per (study, model, dataset) whose pooled features the study asks for and which are not stored: of all
-- images of the dataset, whatever their view, by the models of the study's first seed.
-- Columns: study, model_id, model, image_list_id, n_images, dataset.
create or replace view missing_features as
select
    study.name as study,
    model.id as model_id,
    model.name as model,
    image_list.id as image_list_id,
    image_list.length as n_images,
    dataset.name as dataset
from study
cross join lateral jsonb_array_elements_text(study.definition -> 'features') as asked (dataset)
join dataset on dataset.name = asked.dataset
join image_list on image_list.id = dataset.image_list_id
join study_model on study_model.study_id = study.id
join model on model.id = study_model.model_id and model.seed = (study.definition -> 'seeds' ->> 0)::integer
where not exists (
    select from evaluation
    join feature on feature.evaluation_id = evaluation.id and feature.position = 1
    where evaluation.model_id = model.id and evaluation.image_list_id = image_list.id
);
