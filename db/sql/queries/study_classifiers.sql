-- One row per output of a study's models that belongs to one dataset: model_id, trained_on, seed, dataset_id, dataset, task_id,
-- weights. Models in the study's order, datasets and tasks within. Parameter: study_id.
select classifier.model_id, model.trained_on, model.seed, classifier.dataset_id, dataset.name as dataset, classifier.task_id,
    classifier.weights
from study_model
join model on model.id = study_model.model_id
join classifier on classifier.model_id = model.id
join dataset on dataset.id = classifier.dataset_id
where study_model.study_id = :study_id
order by study_model.position, classifier.dataset_id, classifier.task_id
