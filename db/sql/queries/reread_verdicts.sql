-- One row per verdict of a study on a model from elsewhere that rests on images read again: study, model, task, a, b, label (its
-- probability before and after), share (of the drop, with its interval), verdict. Parameter: study.
select study, trained_on as model, task, train_dataset as a, test_dataset as b,
    format('P(label) %s -> %s after %s reads (%s reader%s)', round(probability_label_before::numeric, 2),
        round(probability_label::numeric, 2), reread, readers, case readers when 1 then '' else 's' end) as label,
    format('%s (%s to %s)', round(share_label::numeric, 2), round(share_label_lower::numeric, 2),
        round(share_label_upper::numeric, 2)) as share,
    verdict
from causes_results
where study = :study and reread > 0
order by task_position, train_position, dataset_position, trained_on
