-- Adds declared operating points to a model's card. Parameters: id, key (of the card), points (JSON, by task).
update model
set card = card || jsonb_build_object(
    cast(:key as text), coalesce(card -> cast(:key as text), '{}'::jsonb) || cast(:points as jsonb)
)
where id = :id
