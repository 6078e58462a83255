-- One row per image list whose features some study asks for, by this model, and which has none yet (at most one): image_list_id.
-- Parameters: model_id, image_list_id.
select distinct missing_features.image_list_id
from missing_features
where missing_features.model_id = :model_id and missing_features.image_list_id = :image_list_id
