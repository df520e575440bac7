package events

// Key appends the key of a Kafka record, tenant/user_id, so that a user's events stay in the
// order in which they were sent. Events without a user have the key "tenant/". A tenant holds
// no slash, so two people never share a key.
func Key[T string | []byte](dst []byte, tenant, user T) []byte {
	dst = append(dst, tenant...)
	dst = append(dst, '/')
	return append(dst, user...)
}

// KeyMatches tells whether key is Key(tenant, user), without making it.
func KeyMatches(key, tenant, user []byte) bool {
	return len(key) == len(tenant)+1+len(user) &&
		string(key[:len(tenant)]) == string(tenant) &&
		key[len(tenant)] == '/' &&
		string(key[len(tenant)+1:]) == string(user)
}
