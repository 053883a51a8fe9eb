from hubspot import HubSpot
from hubspot.crm.contacts import ApiException

api = HubSpot(access_token="anything", host="http://127.0.0.1:8117")
for contact in api.crm.contacts.get_all(properties=["email", "firstname"])[:3]:
    print(contact.id, contact.properties["firstname"], contact.properties["email"])

try:
    api.crm.contacts.basic_api.create({"properties": {"email": "Ada@Example.com"}})
except ApiException as error:
    assert error.status == 409  # the account has her from an earlier run
found = api.crm.contacts.basic_api.get_by_id("ada@example.com", id_property="email")
print(found.id, found.properties["email"], found.created_at)
