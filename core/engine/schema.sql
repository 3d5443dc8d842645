-- name: table_many many
-- The named tables that exist, with what the schema says about them.
SELECT c.relname::text AS name, obj_description(c.oid, 'pg_class') AS comment,
       EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgname = c.relname || '_announce_read') AS is_announced
FROM pg_class c
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm') AND c.relname::text = ANY ($1::text[]);

-- name: column_many many
-- Their columns in order; a type is named without its modifier, for a cast to numeric(19, 4) would round a filter's value.
SELECT c.relname::text AS table_name, a.attname::text AS name, format_type(a.atttypid, NULL) AS type,
       t.typcategory::text AS category, NOT a.attnotnull AS nullable, col_description(c.oid, a.attnum) AS comment,
       CASE WHEN a.attgenerated = '' THEN pg_get_expr(d.adbin, d.adrelid) END AS default_sql,
       (SELECT array_agg(e.enumlabel::text ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = t.oid) AS labels
FROM pg_class c
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
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
