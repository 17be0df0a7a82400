curl {{ site_url }}/api/v1/balance -H "Authorization: Bearer {{ key }}"

curl {{ site_url }}/api/v1/generations \
  -H "Authorization: Bearer {{ key }}" \
  -H "Content-Type: application/json" \
  -H "Idempotency-Key: $(date +%s)-$RANDOM" \
  -d '{"prompt": "A haiku about ledgers", "funding": "credits", "operation": "text"}'
