-- One row per evaluation of a study's models that has pooled features: evaluation_id, image_list_id, trained_on, seed.
-- Parameter: study_id.
select evaluation.id as evaluation_id, evaluation.image_list_id, model.trained_on, model.seed
from study_model
join model on model.id = study_model.model_id
join evaluation on evaluation.model_id = model.id
where study_model.study_id = :study_id
and exists (select from feature where feature.evaluation_id = evaluation.id)
order by study_model.position, evaluation.id
