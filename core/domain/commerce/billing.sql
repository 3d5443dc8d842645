-- name: address_save none
-- The address on a person's invoices.
INSERT INTO billing_addresses (user_id, first_name, last_name, company_name, phone_number, email, address_line1, address_line2, city, state, postal_code, country,
                               vat_number, notes)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
ON CONFLICT (user_id) DO UPDATE SET first_name = EXCLUDED.first_name, last_name = EXCLUDED.last_name, company_name = EXCLUDED.company_name,
    phone_number = EXCLUDED.phone_number, email = EXCLUDED.email, address_line1 = EXCLUDED.address_line1, address_line2 = EXCLUDED.address_line2,
    city = EXCLUDED.city, state = EXCLUDED.state, postal_code = EXCLUDED.postal_code, country = EXCLUDED.country, vat_number = EXCLUDED.vat_number,
    notes = EXCLUDED.notes;
