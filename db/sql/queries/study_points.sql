-- One row per model of a study with declared operating points: model, points (JSON, by task). Parameters: study_id, key.
select model.name as model, model.card -> cast(:key as text) as points
from study_model
join model on model.id = study_model.model_id
where study_model.study_id = :study_id and model.kind = 'foreign' and model.card ? cast(:key as text)
order by study_model.position
