-- mean_logits(vectors): the mean of several vectors (n_vectors, n), element by element; a NaN counts as not scored and is left out,
-- NaN where none is left. The vectors must be of one cohort: array_agg refuses other lengths. The ensemble of a configuration is
--   select auc(mean_logits(array_agg(logits)), min(labels)) from prediction_vectors where task = 'Effusion' and …;
create or replace function mean_logits(vectors real[]) returns real[]
language plpgsql immutable strict parallel safe cost 100000 as $$
declare
    n integer = array_length(vectors, 1);
    mean real[];
begin
    if array_ndims(vectors) = 1 then
        return vectors;
    end if;
    execute (
        select format(
            'select array_agg((case when %1$s <> ''NaN'' then (%1$s) / %2$s'
            ' else coalesce((%3$s) / nullif(num_nonnulls(%4$s), 0), ''NaN'') end)::real)'
            ' from rows from (%5$s) as score (%6$s)',
            string_agg(format('x%s::double precision', i), ' + '),
            n,
            string_agg(format('coalesce(nullif(x%s, ''NaN''), 0)::double precision', i), ' + '),
            string_agg(format('nullif(x%s, ''NaN'')', i), ', '),
            string_agg(format('unnest($1[%1$s:%1$s])', i), ', '),
            string_agg(format('x%s', i), ', ')
        )
        from generate_series(1, n) as i
    ) into mean using vectors;
    return mean;
end $$;
