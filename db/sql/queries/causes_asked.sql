-- One row per model from elsewhere that a study names, in its order: model, datasets (that it is said to be trained on, by name),
-- reference and loss_ratio (of the study's file; NULL where it has none). Parameter: study_id.
select
    model.name as model,
    array(
        select foreign_training.dataset from foreign_training
        where foreign_training.model_id = model.id order by foreign_training.dataset
    ) as datasets,
    study.definition ->> 'reference' as reference,
    (study.definition ->> 'loss_ratio')::double precision as loss_ratio
from study
join study_model on study_model.study_id = study.id
join model on model.id = study_model.model_id
where study.id = :study_id and model.kind = 'foreign'
order by study_model.position
