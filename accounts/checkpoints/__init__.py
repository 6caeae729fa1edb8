"""Signed checkpoints: a witness of the audit log that lies outside the database.

A chain of hashes shows a change, but not to somebody who can change every hash after it. So every ten minutes a
checkpoint names the chains that have moved since the last one, each with its last sequence and hash; it is signed
(Ed25519, RFC 8032), carries a number and the digest of the checkpoint before it, and goes to a directory or a bucket.

A checkpoint is incremental: with 100,000 models and ten changes it holds ten lines. The verifier folds them not into
one last head for each chain but into points: *every* (chain, sequence, hash) of *every* checkpoint must still be there.
Rewriting an entry and waiting for the next checkpoint therefore helps nobody, since an earlier one contradicts. Both
sides stream: making one holds a page of heads in memory, verifying a page of points and one number for each chain.
"""
