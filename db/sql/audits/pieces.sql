-- pieces: what `predictions` looks places up in and is not what it was made from: images of a scored list, or labels of a cohort.
-- Columns: what (listed_image or cohort_label_piece), of (the id of the image list or cohort), task_id (of labels).
-- Then: restore a backup from before; vectors and analyses are right all the same, the view `predictions` is not.
select 'listed_image' as what, image_list.id as of, null::smallint as task_id
from image_list
where image_list.id in (select image_list_id from evaluation) and image_list.image_ids is distinct from (
    select array_agg(image_id order by piece, place) from listed_image where listed_image.image_list_id = image_list.id
)
union all
select 'cohort_label_piece', cohort_label.cohort_id, cohort_label.task_id
from cohort_label
where array_replace(cohort_label.labels, null, -1::smallint) is distinct from (
    select array_agg(label order by piece.piece, place)
    from cohort_label_piece as piece
    cross join lateral unnest(piece.labels) with ordinality as cut (label, place)
    where piece.cohort_id = cohort_label.cohort_id and piece.task_id = cohort_label.task_id
)
