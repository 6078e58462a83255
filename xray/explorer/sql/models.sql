-- One row per (study, model) in the study's order, and per model of no study: study, model, trained_on, seed, kind.
select study.name as study, model.name as model, model.trained_on, model.seed, model.kind
from model
left join study_model on study_model.model_id = model.id
left join study on study.id = study_model.study_id
order by study.id, study_model.position, model.id
