"""The supply chain of a release: licences, bills of materials and known vulnerabilities of everything that is locked.

Kept tools look, from an environment of their own; what stands here compares what they found with the locks.
"""
