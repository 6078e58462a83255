-- One row per stored verdict on a model from elsewhere of a study, named as in the view. Parameter: study.
select *
from causes_results
where study = :study
order by train_position, dataset_position, task_position, position
