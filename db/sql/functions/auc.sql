-- auc(logits, labels): area under the ROC curve, exact with ties (Mann-Whitney: how often a positive is above a negative, ties
-- half), NULL where a class is absent. Pairs with a NULL or NaN, or with a label that is neither 1 nor 0, are left out. The
-- positives are sorted, and each negative is looked up among them; where it is as high as one, -logit in the reverse order tells how many are at least as high.
--   select trained_on, auc(array_agg(logit), array_agg(label)) from predictions where task = 'Effusion' group by trained_on;
create or replace function auc(logits double precision[], labels integer[]) returns double precision
language plpgsql immutable parallel safe cost 10000 as $$
declare
    positives double precision[];
    negatives double precision[];
    rising double precision[];
    falling double precision[];
    n_pos bigint;
    twice_above numeric;
begin
    select array_agg(logit) filter (where label = 1), array_agg(logit) filter (where label = 0)
    into positives, negatives
    from (select unnest(logits) as logit, unnest(labels) as label offset 0) as pair
    where logit <> 'NaN';
    select array_agg(logit order by logit), array_agg(-logit order by logit desc), count(*) into rising, falling, n_pos
    from unnest(positives) as logit;
    select sum(case when rising[below] = logit then n_pos - below + width_bucket(-logit, falling) else 2 * (n_pos - below) end)
    into twice_above
    from (select logit, width_bucket(logit, rising) as below from unnest(negatives) as logit offset 0) as looked_up;
    return twice_above / (2 * n_pos::numeric * cardinality(negatives));
end $$;

-- The same of the stored types, logits and labels.
create or replace function auc(logits real[], labels smallint[]) returns double precision
language sql immutable parallel safe cost 10000 as $$ select auc(logits::double precision[], labels::integer[]) $$;
