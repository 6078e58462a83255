-- One row per image of an evaluation with features, in the order of its image list: features. For COPY. Parameter: evaluation_id.
select features
from feature
where evaluation_id = %(evaluation_id)s
order by position
