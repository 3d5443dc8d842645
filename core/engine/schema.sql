-- name: table_many many
-- The named tables that exist, with what the schema says about them.
-- Comments are joined: obj_description and col_description are a query of their own for every row.
SELECT c.relname::text AS name, s.description AS comment,
       EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgname = c.relname || '_announce_read') AS is_announced
FROM pg_class c
LEFT JOIN pg_description s ON s.objoid = c.oid AND s.classoid = 'pg_class'::regclass AND s.objsubid = 0
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm') AND c.relname::text = ANY ($1::text[]);

-- name: column_many many
-- Their columns in order; a type is named without its modifier, for a cast to numeric(19, 4) would round a filter's value.
-- Defaults are read for table 0, as no default names a column: for its own, each of the tables would be opened.
SELECT c.relname::text AS table_name, a.attname::text AS name, format_type(a.atttypid, NULL) AS type,
       t.typcategory::text AS category, NOT a.attnotnull AS nullable, s.description AS comment,
       CASE WHEN a.attgenerated = '' THEN pg_get_expr(d.adbin, 0) END AS default_sql,
       CASE WHEN t.typtype = 'e'
            THEN (SELECT array_agg(e.enumlabel::text ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = t.oid) END AS labels
FROM pg_class c
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
LEFT JOIN pg_description s ON s.objoid = c.oid AND s.classoid = 'pg_class'::regclass AND s.objsubid = a.attnum
WHERE c.relnamespace = 'public'::regnamespace AND c.relname::text = ANY ($1::text[])
ORDER BY c.relname, a.attnum;

-- name: constraint_many many
-- Their constraints, and as kind i the unique indexes that are none; conparentid leaves out the copies that partitions carry.
SELECT c.relname::text AS table_name, con.conname::text AS name, con.contype::text AS kind, f.relname::text AS foreign_table,
       (SELECT array_agg(a.attname::text ORDER BY k.nth) FROM unnest(con.conkey) WITH ORDINALITY AS k (attnum, nth)
        JOIN pg_attribute a ON a.attrelid = con.conrelid AND a.attnum = k.attnum) AS columns,
       (SELECT array_agg(a.attname::text ORDER BY k.nth) FROM unnest(con.confkey) WITH ORDINALITY AS k (attnum, nth)
        JOIN pg_attribute a ON a.attrelid = con.confrelid AND a.attnum = k.attnum) AS foreign_columns
FROM pg_constraint con
JOIN pg_class c ON c.oid = con.conrelid
LEFT JOIN pg_class f ON f.oid = con.confrelid
WHERE c.relnamespace = 'public'::regnamespace AND c.relname::text = ANY ($1::text[])
  AND con.contype IN ('p', 'u', 'f', 'c', 'x') AND con.conparentid = 0
UNION ALL
SELECT c.relname::text, i.relname::text, 'i', NULL,
       (SELECT array_agg(a.attname::text ORDER BY k.nth) FROM unnest(x.indkey) WITH ORDINALITY AS k (attnum, nth)
        JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = k.attnum), NULL
FROM pg_index x
JOIN pg_class c ON c.oid = x.indrelid
JOIN pg_class i ON i.oid = x.indexrelid
WHERE c.relnamespace = 'public'::regnamespace AND c.relname::text = ANY ($1::text[])
  AND x.indisunique AND NOT EXISTS (SELECT FROM pg_constraint con WHERE con.conindid = x.indexrelid AND con.conrelid = c.oid)
ORDER BY table_name, name;
