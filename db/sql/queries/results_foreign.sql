-- One row per foreign model of a study, in its order: model, trained_on (datasets that it is said to know, NULL: unknown),
-- citation, warning (its overlaps with the study's test cohorts, in words; NULL: none). Parameter: study.
select foreign_models.model, foreign_models.trained_on, foreign_models.citation,
    (
        select string_agg(leaking_models.warning, '; ' order by study_dataset.position)
        from leaking_models
        join cohort on cohort.id = leaking_models.test_cohort_id and cohort.protocol_id = study.protocol_id
        join study_dataset on study_dataset.study_id = study.id and study_dataset.dataset_id = cohort.dataset_id
        where leaking_models.model_id = model.id
    ) as warning
from study
join study_model on study_model.study_id = study.id
join model on model.id = study_model.model_id
join foreign_models on foreign_models.model = model.name
where study.name = :study
order by study_model.position
