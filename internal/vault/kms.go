package vault

// The key services that a keyring can be encrypted under. Together they make a stripped binary 13 MB larger and cost 9 MB of memory at start.
import (
	_ "gocloud.dev/secrets/awskms"
	_ "gocloud.dev/secrets/azurekeyvault"
	_ "gocloud.dev/secrets/gcpkms"
	_ "gocloud.dev/secrets/hashivault"
	_ "gocloud.dev/secrets/localsecrets" // base64key://, a service that is a key in the URL, for tests
)
