-- results_without_evaluation: results that were computed from evaluations that don't exist.
-- Columns: statement, a query per table of results; their columns: table_name, analysis, results, evaluation_ids (that don't exist).
-- Then: compute them again (xray analyse --study NAME).
select format(
    'select %L as table_name, study.name || ''/'' || analysis.name as analysis, count(distinct r.id) as results,'
    ' array_agg(distinct listed.id) as evaluation_ids'
    ' from %I as r cross join lateral unnest(r.evaluation_ids) as listed (id)'
    ' left join evaluation on evaluation.id = listed.id'
    ' left join analysis on analysis.id = r.analysis_id left join study on study.id = analysis.study_id'
    ' where evaluation.id is null group by study.name, analysis.name',
    relname, relname
) as statement
from pg_attribute join pg_class on pg_class.oid = attrelid
where relnamespace = current_schema()::regnamespace and relkind = 'r' and attname = 'evaluation_ids' and not attisdropped
order by relname
