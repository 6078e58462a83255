-- One row per read of a worklist: position, reader, answer, comment, read_at. Parameter: name.
select position, reader, answer, comment, read_at from reads where worklist = %(name)s order by reader, position
