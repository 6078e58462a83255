-- One row per model from elsewhere that a study names, in its order: model. Parameter: study.
select model.name as model
from study
join study_model on study_model.study_id = study.id
join model on model.id = study_model.model_id
where study.name = :study and model.kind = 'foreign'
order by study_model.position
