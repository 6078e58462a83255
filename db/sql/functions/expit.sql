-- expit(logit): the probability of a logit, 1 / (1 + exp(-logit)); NULL where it is NULL or NaN, 0 or 1 at the ends.
-- Beyond ±700 exp() would overflow, and the probability no longer changes visibly. An ensemble's is expit(avg(logit)).
create or replace function expit(logit double precision) returns double precision
language sql immutable parallel safe as $$
    select case when logit <> 'NaN' then 1 / (1 + exp(-least(greatest(logit, -700), 700))) end
$$;
