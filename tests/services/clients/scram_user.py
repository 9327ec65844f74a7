"""Has the brokers know a user by SCRAM.

    scram_user.py BROKERS USER PASSWORD
"""
import sys

from confluent_kafka.admin import AdminClient, ScramCredentialInfo, ScramMechanism, UserScramCredentialUpsertion

brokers, user, password = sys.argv[1:]
admin = AdminClient({"bootstrap.servers": brokers})
mechanisms = [ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512]
changes = [UserScramCredentialUpsertion(user, ScramCredentialInfo(m, 4096), password.encode()) for m in mechanisms]
# One change of a user at a time.
for change in changes:
    for done in admin.alter_user_scram_credentials([change]).values():
        done.result()
