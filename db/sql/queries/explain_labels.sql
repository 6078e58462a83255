-- One row per test cohort of a stored AUC (there is one), with the labels that it stands on: dataset, site, source, protocol (with
-- version), label_rules, uncertain (what becomes of uncertain labels), reader_rule (how a label follows from several readers; NULL:
-- there is one), mapping (NULL: none), cohort_hash, labels_hash, registered_at, n_images, positive, negative, unlabelled (images
-- of the cohort), states (JSON: what the labeller said of the dataset's images) and rules (JSON: native_column, term, rule,
-- source of each that speaks of the finding). Parameters: study, test_dataset, task.
select
    dataset.name as dataset,
    site.name as site,
    dataset.source,
    protocol.name || ' ' || protocol.version as protocol,
    protocol.definition ->> 'label_rules' as label_rules,
    protocol.definition -> 'labels' ->> 'uncertain' as uncertain,
    dataset.reader_rule,
    dataset.mapping,
    cohort.content_hash as cohort_hash,
    dataset.content_hash as labels_hash,
    dataset.registered_at,
    image_list.length as n_images,
    coalesce(cohort_label.n_pos, 0) as positive,
    coalesce(cohort_label.n_neg, 0) as negative,
    image_list.length - coalesce(cohort_label.n_pos + cohort_label.n_neg, 0) as unlabelled,
    (
        select jsonb_object_agg(counted.state, counted.n)
        from (
            select
                case listed.state when 1 then 'positive' when 0 then 'negative' when -1 then 'uncertain' else 'not mentioned' end
                    as state,
                count(*) as n
            from label cross join lateral unnest(label.states) as listed (state)
            where label.dataset_id = dataset.id and label.task_id = task.id
            group by 1
        ) as counted
    ) as states,
    (
        select jsonb_agg(
            jsonb_build_object(
                'native_column', label_rule.native_column, 'term', label_rule.term, 'rule', label_rule.rule,
                'source', label_rule.source
            ) order by label_rule.position
        )
        from label_rule
        where label_rule.dataset_id = dataset.id and label_rule.task_id = task.id
            and coalesce(label_rule.rule_set, protocol.definition ->> 'label_rules') = protocol.definition ->> 'label_rules'
    ) as rules
from auc
join analysis on analysis.id = auc.analysis_id
join study on study.id = analysis.study_id
join cohort on cohort.id = auc.cohort_id
join dataset on dataset.id = cohort.dataset_id
join site on site.id = dataset.site_id
join protocol on protocol.id = cohort.protocol_id
join image_list on image_list.id = cohort.image_list_id
join task on task.id = auc.task_id
left join cohort_label on cohort_label.cohort_id = cohort.id and cohort_label.task_id = task.id
where study.name = :study and dataset.name = :test_dataset and task.name = :task
limit 1
