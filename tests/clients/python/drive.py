"""Drives the emulator with HubSpot's official Python client.

The client checks answers against its own models, so that an answer it takes
has the shape HubSpot describes.

usage: HUBLAKE=path/to/hublake drive.py
"""

import json
import re
import subprocess
import sys
import time
import traceback
from datetime import datetime
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlparse

from hubspot import HubSpot, oauth, webhooks
from hubspot.crm import contacts, deals, lists, objects, owners, pipelines, properties, schemas
from hubspot.exceptions import InvalidSignatureTimestampError
from hubspot.utils.oauth import get_auth_url
from hubspot.utils.signature import Signature
from urllib3.util.retry import Retry

from emulator import Emulator, Receiver

CONTACTS = 230
WEBHOOK_SECRET = "5ad6f31c-0bd5-4c2e-9d3c-f0e3a5c8d7b1"
CHECKS = []


def check(function):
    CHECKS.append(function)
    return function


def refusal(status, exceptions, call, *arguments, **named):
    """The refusal that a call has to meet."""
    try:
        answer = call(*arguments, **named)
    except exceptions.ApiException as error:
        assert error.status == status, f"{error.status}: {error.body}"
        return error
    raise AssertionError(f"no refusal but {answer}")


def body_of(error):
    return json.loads(error.body)


def contact(**values):
    return contacts.SimplePublicObjectInputForCreate(properties=values)


# Reading.


@check
def every_page_is_walked(api, emulator):
    everyone = api.crm.contacts.get_all(properties=["email", "firstname"])
    ids = [int(one.id) for one in everyone]
    assert ids == sorted(set(ids))
    page = api.crm.contacts.basic_api.get_page(limit=100)
    assert len(page.results) == 100 and page.paging.next.after == str(int(page.results[-1].id) + 1)
    assert len(ids) > 2 * 100 - 1, "more than two pages"
    assert all(isinstance(one.created_at, datetime) and one.archived is False for one in everyone)
    assert all({"createdate", "hs_object_id", "lastmodifieddate"} <= set(one.properties) for one in everyone)
    assert any(one.properties["email"] is None for one in everyone)


@check
def archived_records_have_a_list_of_their_own(api, emulator):
    made = api.crm.contacts.basic_api.create(contact(email="archived@client.example"))
    api.crm.contacts.basic_api.archive(made.id)
    api.crm.contacts.basic_api.archive(made.id)
    gone = [one for one in api.crm.contacts.get_all(archived=True) if one.id == made.id]
    assert len(gone) == 1 and gone[0].archived and isinstance(gone[0].archived_at, datetime)
    assert all(one.id != made.id for one in api.crm.contacts.get_all())
    refusal(404, contacts, api.crm.contacts.basic_api.get_by_id, made.id)
    assert api.crm.contacts.basic_api.get_by_id(made.id, archived=True).id == made.id


@check
def history_comes_with_fifty_a_page(api, emulator):
    made = api.crm.contacts.basic_api.create(contact(email="history@client.example", jobtitle="one"))
    changed = contacts.SimplePublicObjectInput(properties={"jobtitle": "two"})
    api.crm.contacts.basic_api.update(made.id, changed)
    read = api.crm.contacts.basic_api.get_by_id(made.id, properties_with_history=["jobtitle"])
    assert [version.value for version in read.properties_with_history["jobtitle"]] == ["two", "one"]
    everyone = api.crm.contacts.get_all(properties_with_history=["jobtitle"])
    assert len(everyone) >= CONTACTS - 20
    refusal(
        400, contacts, api.crm.contacts.basic_api.get_page, limit=51, properties_with_history=["jobtitle"]
    )


@check
def one_is_read_by_id_and_by_email(api, emulator):
    made = api.crm.contacts.basic_api.create(contact(email="By.Email@client.example", firstname="By"))
    assert made.properties["email"] == "by.email@client.example"
    read = api.crm.contacts.basic_api.get_by_id(
        "by.email@CLIENT.example", id_property="email", properties=["firstname"]
    )
    assert (read.id, read.properties["firstname"]) == (made.id, "By")
    error = refusal(404, contacts, api.crm.contacts.basic_api.get_by_id, "1")
    assert "resource not found" in error.body
    error = refusal(400, objects, api.crm.objects.basic_api.get_page, "butterflies")
    assert "Unable to infer object type" in error.body


@check
def records_carry_their_associates(api, emulator):
    everyone = api.crm.contacts.get_all(associations=["companies"])
    tied = [one for one in everyone if one.associations]
    assert tied and all(one.associations["companies"].results for one in tied)
    kinds = {entry.type for one in tied for entry in one.associations["companies"].results}
    assert kinds == {"contact_to_company", "contact_to_company_unlabeled"}, kinds


# Search.


@check
def a_search_is_paged(api, emulator):
    request = dict(
        filter_groups=[{"filters": [{"propertyName": "email", "operator": "HAS_PROPERTY"}]}],
        sorts=["hs_object_id"],
        properties=["email"],
        limit=80,
    )
    found, after = [], None
    for _ in range(20):
        page = api.crm.contacts.search_api.do_search(
            contacts.PublicObjectSearchRequest(after=after, **request)
        )
        found += [one.id for one in page.results]
        if page.paging is None:
            break
        after = page.paging.next.after
    have = [one.id for one in api.crm.contacts.get_all() if one.properties["email"]]
    assert sorted(found) == sorted(have), (len(found), len(have))
    assert isinstance(page.total, int)


@check
def a_search_beyond_its_bounds_is_refused(api, emulator):
    search = api.crm.contacts.search_api.do_search
    request = contacts.PublicObjectSearchRequest
    assert len(search(request(limit=200, properties=[])).results) == 200
    refusal(400, contacts, search, request(limit=201))
    refusal(400, contacts, search, request(limit=100, after="9950"))
    wrong = [{"filters": [{"propertyName": "nobody_made_this", "operator": "HAS_PROPERTY"}]}]
    refusal(400, contacts, search, request(filter_groups=wrong))


@check
def a_search_lags_behind(api, emulator):
    emulator.control("clock", {"index_lag_ms": 60_000})
    search = api.crm.contacts.search_api.do_search
    filters = [{"propertyName": "email", "operator": "EQ", "value": "late@client.example"}]
    request = contacts.PublicObjectSearchRequest(filter_groups=[{"filters": filters}])
    api.crm.contacts.basic_api.create(contact(email="late@client.example"))
    assert search(request).results == []
    emulator.control("clock", {"index_lag_ms": 0, "advance_ms": 60_000})
    assert len(search(request).results) == 1


# Writing.


@check
def a_batch_is_created_updated_upserted_and_archived(api, emulator):
    batch = api.crm.contacts.batch_api
    made = batch.create(
        contacts.BatchInputSimplePublicObjectBatchInputForCreate(
            inputs=[
                contacts.SimplePublicObjectBatchInputForCreate(
                    properties={"email": f"batch{n}@client.example"}
                )
                for n in range(100)
            ]
        )
    )
    assert made.status == "COMPLETE" and len(made.results) == 100
    assert type(made) is contacts.BatchResponseSimplePublicObject
    ids = {one.properties["email"]: one.id for one in made.results}
    assert len(ids) == 100
    updated = batch.update(
        contacts.BatchInputSimplePublicObjectBatchInput(
            inputs=[
                contacts.SimplePublicObjectBatchInput(id=id, properties={"jobtitle": email})
                for email, id in ids.items()
            ]
        )
    )
    assert {one.id for one in updated.results} == set(ids.values())
    read = batch.read(
        contacts.BatchReadInputSimplePublicObjectId(
            properties=["email", "jobtitle"],
            properties_with_history=[],
            id_property="email",
            inputs=[contacts.SimplePublicObjectId(id=email) for email in ids],
        )
    )
    assert all(one.properties["email"] == one.properties["jobtitle"] for one in read.results)
    rows = [
        contacts.SimplePublicObjectBatchInputUpsert(
            id=email,
            id_property="email",
            properties={"firstname": "Up", "email": email},
            object_write_trace_id=str(turn),
        )
        for turn, email in enumerate(["Batch0@Client.example", "fresh@client.example"])
    ]
    upserted = batch.upsert(contacts.BatchInputSimplePublicObjectBatchInputUpsert(inputs=rows))
    assert {one.properties["email"]: one.new for one in upserted.results} == {
        "batch0@client.example": False,
        "fresh@client.example": True,
    }
    for _ in range(2):
        gone = [contacts.SimplePublicObjectId(id=id) for id in ids.values()]
        assert batch.archive(contacts.BatchInputSimplePublicObjectId(inputs=gone)) is None


@check
def parts_of_a_batch_fail(api, emulator):
    batch = api.crm.contacts.batch_api
    rows = [
        {"properties": {"email": "part@client.example"}, "objectWriteTraceId": "good"},
        {"properties": {"email": "nonsense"}, "objectWriteTraceId": "bad"},
        {
            "properties": {"email": "other@client.example", "no_such_property": "1"},
            "objectWriteTraceId": "worse",
        },
    ]
    parts = batch.create({"inputs": rows})
    assert type(parts) is contacts.BatchResponseSimplePublicObjectWithErrors, type(parts)
    assert [one.properties["email"] for one in parts.results] == ["part@client.example"]
    assert parts.num_errors == 2 and {one.category for one in parts.errors} == {"VALIDATION_ERROR"}
    assert {one.context["objectWriteTraceId"][0] for one in parts.errors} == {"bad", "worse"}
    read = batch.read(
        {"properties": [], "propertiesWithHistory": [], "inputs": [{"id": parts.results[0].id}, {"id": "1"}]}
    )
    assert len(read.results) == 1 and read.errors[0].context["ids"] == ["1"]
    again = batch.create({"inputs": [dict(rows[0], objectWriteTraceId="again")]})
    assert again.errors[0].category == "CONFLICT"
    assert again.errors[0].context["existingId"] == [parts.results[0].id]


@check
def whole_batches_are_refused(api, emulator):
    batch = api.crm.contacts.batch_api
    first = api.crm.contacts.basic_api.create(contact(email="whole@client.example"))
    rows = [{"properties": {"email": "fine@client.example"}}, {"properties": {"email": "nonsense"}}]
    error = refusal(400, contacts, batch.create, {"inputs": rows})
    assert body_of(error)["errors"][0]["code"] == "INVALID_EMAIL"
    rows[1] = {"properties": {"email": "whole@client.example"}}
    error = refusal(409, contacts, batch.create, {"inputs": rows})
    assert body_of(error)["category"] == "CONFLICT"
    gone = refusal(
        404, contacts, api.crm.contacts.basic_api.get_by_id, "fine@client.example", id_property="email"
    )
    assert gone.headers["X-HubSpot-Correlation-Id"] == body_of(gone)["correlationId"]
    twice = [{"id": first.id, "properties": {"firstname": "a"}}] * 2
    assert "Duplicate IDs" in refusal(400, contacts, batch.update, {"inputs": twice}).body
    many = [{"properties": {"email": f"many{n}@client.example"}} for n in range(101)]
    refusal(400, contacts, batch.create, {"inputs": many})
    error = refusal(
        400,
        deals,
        api.crm.deals.batch_api.upsert,
        {"inputs": [{"id": "x", "idProperty": "dealname", "properties": {"dealname": "x"}}]},
    )
    assert "non-unique" in error.body


@check
def one_is_written_and_refused(api, emulator):
    basic = api.crm.contacts.basic_api
    made = basic.create(contact(email="single@client.example", firstname="One"))
    error = refusal(409, contacts, basic.create, contact(email="SINGLE@client.example"))
    assert body_of(error)["message"].endswith(f"Existing ID: {made.id}")
    change = contacts.SimplePublicObjectInput
    updated = basic.update(made.id, change(properties={"firstname": ""}))
    assert updated.id == made.id
    assert basic.get_by_id(made.id, properties=["firstname"]).properties["firstname"] in (None, "")
    error = refusal(400, contacts, basic.update, made.id, change(properties={"hs_object_id": "7"}))
    assert body_of(error)["errors"][0]["code"] == "READ_ONLY_VALUE"
    deal = api.crm.deals.basic_api.create(
        {
            "properties": {
                "dealname": "One",
                "dealstage": "appointmentscheduled",
                "pipeline": "default",
                "amount": "12.50",
            }
        }
    )
    assert deal.properties["amount"] == "12.50"
    note = api.crm.objects.notes.basic_api.create(
        {
            "properties": {"hs_timestamp": "2026-01-02T03:04:05Z", "hs_note_body": "x"},
            "associations": [
                {
                    "to": {"id": made.id},
                    "types": [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 202}],
                }
            ],
        }
    )
    tied = api.crm.associations.v4.basic_api.get_page("notes", note.id, "contacts")
    assert [str(one.to_object_id) for one in tied.results] == [made.id]


@check
def a_merge_makes_a_third(api, emulator):
    basic = api.crm.contacts.basic_api
    kept = basic.create(contact(email="kept@client.example"))
    other = basic.create(contact(email="other-half@client.example"))
    merged = basic.merge({"primaryObjectId": kept.id, "objectIdToMerge": other.id})
    assert merged.id not in (kept.id, other.id)
    assert basic.get_by_id(other.id).id == merged.id


@check
def a_person_is_forgotten(api, emulator):
    basic = api.crm.contacts.basic_api
    made = basic.create(contact(email="forget@client.example"))
    assert basic.purge({"objectId": made.id}) is None
    refusal(404, contacts, basic.get_by_id, made.id)
    assert all(one.id != made.id for one in api.crm.contacts.get_all(archived=True))


# Associations.


@check
def pairs_are_tied_and_untied(api, emulator):
    ties = api.crm.associations.v4
    person = api.crm.contacts.basic_api.create(contact(email="tied@client.example"))
    firms = [api.crm.companies.basic_api.create({"properties": {"name": f"Firm {n}"}}) for n in range(3)]
    usual = ties.basic_api.create_default("contacts", person.id, "companies", firms[0].id)
    assert usual.status == "COMPLETE" and {one._from.id for one in usual.results} == {person.id, firms[0].id}
    made = ties.basic_api.create(
        "contacts",
        person.id,
        "companies",
        firms[1].id,
        [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 279}],
    )
    assert (str(made.from_object_id), str(made.to_object_id)) == (person.id, firms[1].id)
    ties.batch_api.create(
        "contacts",
        "companies",
        {
            "inputs": [
                {
                    "from": {"id": person.id},
                    "to": {"id": firms[2].id},
                    "types": [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 1}],
                }
            ]
        },
    )
    page = ties.basic_api.get_page("contacts", person.id, "companies", limit=2)
    rest = ties.basic_api.get_page("contacts", person.id, "companies", limit=2, after=page.paging.next.after)
    tied = {
        str(one.to_object_id): {kind.label for kind in one.association_types}
        for one in page.results + rest.results
    }
    assert set(tied) == {firm.id for firm in firms}
    assert tied[firms[2].id] >= {"Primary", None}, tied
    loner = api.crm.contacts.basic_api.create(contact(email="loner@client.example"))
    read = ties.batch_api.get_page("contacts", "companies", {"inputs": [{"id": person.id}, {"id": loner.id}]})
    assert [one._from.id for one in read.results] == [person.id] and len(read.results[0].to) == 3
    assert read.errors[0].sub_category == "crm.associations.NO_ASSOCIATIONS_FOUND"
    untie = {"inputs": [{"from": {"id": person.id}, "to": [{"id": firms[0].id}]}]}
    assert ties.batch_api.archive("contacts", "companies", untie) is None
    ties.basic_api.archive("contacts", person.id, "companies", firms[1].id)
    left = ties.basic_api.get_page("contacts", person.id, "companies")
    assert [str(one.to_object_id) for one in left.results] == [firms[2].id]
    both = ties.batch_api.create_default(
        "contacts", "companies", {"inputs": [{"from": {"id": loner.id}, "to": {"id": firms[0].id}}]}
    )
    assert len(both.results) == 2


@check
def a_label_is_made_and_put_on(api, emulator):
    ties = api.crm.associations.v4
    made = ties.schema.definitions_api.create(
        "contacts",
        "companies",
        {"name": "billing_contact", "label": "Billing contact", "inverseLabel": "Bills"},
    )
    assert {one.category for one in made.results} == {"USER_DEFINED"}
    known = ties.schema.definitions_api.get_all("contacts", "companies")
    kind = next(one for one in known.results if one.label == "Billing contact")
    person = api.crm.contacts.basic_api.create(contact(email="labelled@client.example"))
    firm = api.crm.companies.basic_api.create({"properties": {"name": "Labelled"}})
    pair = {
        "from": {"id": person.id},
        "to": {"id": firm.id},
        "types": [{"associationCategory": "USER_DEFINED", "associationTypeId": kind.type_id}],
    }
    ties.batch_api.create("contacts", "companies", {"inputs": [pair]})

    def of():
        page = ties.basic_api.get_page("contacts", person.id, "companies")
        return {kind.label for one in page.results for kind in one.association_types}

    assert "Billing contact" in of(), of()
    ties.batch_api.archive_labels("contacts", "companies", {"inputs": [pair]})
    assert "Billing contact" not in of() and of(), of()


@check
def many_associates_are_paged_by_input(api, emulator):
    ties = api.crm.associations.v4
    firm = api.crm.companies.basic_api.create({"properties": {"name": "Crowded"}})
    everyone = [one.id for one in api.crm.contacts.get_all()][:150]
    rows = [{"from": {"id": firm.id}, "to": {"id": id}} for id in everyone]
    ties.batch_api.create_default("companies", "contacts", {"inputs": rows})
    seen, after = [], None
    for _ in range(10):
        page = ties.basic_api.get_page(
            "companies", firm.id, "contacts", limit=60, **({"after": after} if after else {})
        )
        seen += [str(one.to_object_id) for one in page.results]
        if page.paging is None:
            break
        after = page.paging.next.after
    assert sorted(seen) == sorted(everyone)
    record = api.crm.companies.basic_api.get_by_id(firm.id, associations=["contacts"])
    inline = record.associations["contacts"]
    assert len(inline.results) == 100 and inline.paging.next.after


# Properties, types, people, stages, lists.


@check
def properties_are_made_changed_and_dropped(api, emulator):
    core, groups = api.crm.properties.core_api, api.crm.properties.groups_api
    group = groups.create("contacts", {"name": "client_group", "label": "Client", "displayOrder": 3})
    assert group.display_order == 3
    assert groups.update("contacts", "client_group", {"label": "Clients"}).label == "Clients"
    assert groups.get_by_name("contacts", "client_group").label == "Clients"
    assert any(one.name == "client_group" for one in groups.get_all("contacts").results)
    new = {
        "name": "client_colour",
        "label": "Colour",
        "type": "enumeration",
        "fieldType": "select",
        "groupName": "client_group",
        "options": [{"label": "Red", "value": "red", "hidden": False, "displayOrder": 0}],
    }
    made = core.create("contacts", new)
    assert made.options[0].value == "red" and made.has_unique_value is False
    error = refusal(409, properties, core.create, "contacts", new)
    assert body_of(error)["subCategory"] == "Properties.PROPERTY_WITH_NAME_EXISTS"
    more = new["options"] + [{"label": "Blue", "value": "blue", "hidden": False, "displayOrder": 1}]
    assert [one.value for one in core.update("contacts", "client_colour", {"options": more}).options] == [
        "red",
        "blue",
    ]
    error = refusal(
        400,
        contacts,
        api.crm.contacts.basic_api.create,
        contact(email="green@client.example", client_colour="green"),
    )
    assert body_of(error)["errors"][0]["code"] == "INVALID_OPTION"
    batch = api.crm.properties.batch_api
    number = {
        "name": "client_number",
        "label": "Number",
        "type": "number",
        "fieldType": "number",
        "groupName": "client_group",
    }
    parts = batch.create("contacts", {"inputs": [number, new]})
    assert [one.name for one in parts.results] == ["client_number"] and parts.errors[
        0
    ].category == "OBJECT_ALREADY_EXISTS"
    read = batch.read(
        "contacts", {"archived": False, "inputs": [{"name": "client_number"}, {"name": "client_colour"}]}
    )
    assert {one.name for one in read.results} == {"client_number", "client_colour"}
    refusal(400, properties, groups.archive, "contacts", "client_group")
    core.archive("contacts", "client_colour")
    batch.archive("contacts", {"inputs": [{"name": "client_number"}]})
    refusal(404, properties, core.get_by_name, "contacts", "client_colour")
    assert any(one.name == "client_colour" for one in core.get_all("contacts", archived=True).results)
    groups.archive("contacts", "client_group")


@check
def a_type_of_ones_own_is_made(api, emulator):
    core = api.crm.schemas.core_api
    made = core.create(
        {
            "name": "client_boat",
            "labels": {"singular": "Boat", "plural": "Boats"},
            "primaryDisplayProperty": "name",
            "requiredProperties": ["name"],
            "searchableProperties": ["name"],
            "secondaryDisplayProperties": [],
            "associatedObjects": ["CONTACT"],
            "properties": [
                {"name": "name", "label": "Name", "type": "string", "fieldType": "text"},
                {
                    "name": "hull",
                    "label": "Hull",
                    "type": "string",
                    "fieldType": "text",
                    "hasUniqueValue": True,
                },
            ],
        }
    )
    assert made.object_type_id.startswith("2-") and made.fully_qualified_name.endswith("_client_boat")
    assert any(one.id == made.id for one in core.get_all().results)
    boats = api.crm.objects.batch_api.upsert(
        made.object_type_id,
        {"inputs": [{"id": "h1", "idProperty": "hull", "properties": {"hull": "h1", "name": "Ada"}}]},
    )
    assert boats.results[0].new is True
    everyone = api.crm.objects.basic_api.get_page(made.fully_qualified_name, properties=["name"]).results
    assert [one.properties["name"] for one in everyone] == ["Ada"]
    assert (
        core.update(made.object_type_id, {"labels": {"singular": "Ship", "plural": "Ships"}}).labels.singular
        == "Ship"
    )
    tie = {"fromObjectTypeId": made.object_type_id, "toObjectTypeId": "0-2", "name": "boat_to_company"}
    assert core.create_association(made.object_type_id, tie).to_object_type_id
    assert {one.name for one in core.get_by_id(made.object_type_id).properties} >= {"name", "hull"}
    refusal(400, schemas, core.archive, made.object_type_id)
    api.crm.objects.basic_api.archive(made.object_type_id, boats.results[0].id)
    core.archive(made.object_type_id)
    assert all(one.id != made.id for one in core.get_all().results)


@check
def owners_are_listed(api, emulator):
    everyone = api.crm.owners.get_all()
    page = api.crm.owners.owners_api.get_page(limit=3)
    assert len(page.results) == 3 and page.paging.next.after
    one = api.crm.owners.owners_api.get_by_id(everyone[0].id)
    assert (one.email, one.type) == (everyone[0].email, "PERSON")
    by_user = api.crm.owners.owners_api.get_by_id(one.user_id, id_property="userId")
    assert by_user.id == one.id
    assert [found.id for found in api.crm.owners.owners_api.get_page(email=one.email).results] == [one.id]
    left = api.crm.owners.owners_api.get_page(archived=True).results
    assert left and all(owner.archived and owner.user_id is None for owner in left)


@check
def pipelines_and_stages_are_read(api, emulator):
    known = api.crm.pipelines.pipelines_api.get_all("deals").results
    one = next(one for one in known if one.id == "default")
    assert {stage.metadata["isClosed"] for stage in one.stages} == {"true", "false"}
    assert api.crm.pipelines.pipelines_api.get_by_id("deals", "default").label == one.label
    stages = api.crm.pipelines.pipeline_stages_api.get_all("deals", "default").results
    assert [stage.id for stage in stages] == [stage.id for stage in one.stages]
    stage = api.crm.pipelines.pipeline_stages_api.get_by_id("deals", "default", stages[0].id)
    assert stage.label == stages[0].label
    refusal(404, pipelines, api.crm.pipelines.pipelines_api.get_by_id, "deals", "nowhere")


@check
def a_list_is_kept(api, emulator):
    made = api.crm.lists.lists_api.create(
        {"name": "Chosen", "objectTypeId": "0-1", "processingType": "MANUAL"}
    ).list
    people = [one.id for one in api.crm.contacts.basic_api.get_page(limit=5).results]
    members = api.crm.lists.memberships_api
    assert sorted(members.add(made.list_id, people).records_ids_added) == sorted(people)
    assert members.add(made.list_id, people[:1]).records_ids_added is None
    page = members.get_page(made.list_id, limit=3)
    # This cursor comes percent-encoded, and the client encodes what it sends.
    rest = members.get_page(made.list_id, limit=3, after=unquote(page.paging.next.after))
    assert sorted(str(one.record_id) for one in page.results + rest.results) == sorted(people)
    assert any(one.list_id == made.list_id for one in members.get_lists("0-1", people[0]).results)
    ordered = members.get_page_ordered_by_added_to_list_date(made.list_id)
    assert sorted(str(one.record_id) for one in ordered.results) == sorted(people)
    assert members.remove(made.list_id, people[:2]).record_ids_removed
    changed = members.add_and_remove(
        made.list_id, {"recordIdsToAdd": people[:1], "recordIdsToRemove": people[4:]}
    )
    assert (changed.records_ids_added, changed.record_ids_removed) == (people[:1], people[4:])
    members.remove_all(made.list_id)
    assert members.get_page(made.list_id).results == []
    assert api.crm.lists.lists_api.get_by_id(made.list_id).list.name == "Chosen"
    known = api.crm.lists.lists_api.get_all(list_ids=[made.list_id]).lists
    assert [one.list_id for one in known] == [made.list_id]
    found = api.crm.lists.lists_api.do_search({"query": "Chos"})
    assert [one.list_id for one in found.lists] == [made.list_id]
    assert api.crm.lists.lists_api.update_name(made.list_id, list_name="Picked").updated_list.name == "Picked"
    assert api.crm.lists.lists_api.get_by_name("Picked", "0-1").list.list_id == made.list_id
    api.crm.lists.lists_api.remove(made.list_id)
    refusal(404, lists, api.crm.lists.lists_api.get_by_id, "123456789")


# What a record of each type cannot be without.
TYPES = {
    "companies": {"name": "x"},
    "contacts": {"email": "typed@client.example"},
    "deals": {"dealname": "x", "dealstage": "appointmentscheduled", "pipeline": "default"},
    "tickets": {"subject": "x", "hs_pipeline_stage": "1", "hs_pipeline": "0"},
    "line_items": {"name": "x"},
    "products": {"name": "x"},
    "quotes": {"hs_title": "x", "hs_expiration_date": "2027-01-01"},
    "objects.calls": {"hs_timestamp": "2026-01-01T00:00:00Z"},
    "objects.communications": {
        "hs_timestamp": "2026-01-01T00:00:00Z",
        "hs_communication_channel_type": "SMS",
    },
    "objects.emails": {"hs_timestamp": "2026-01-01T00:00:00Z", "hs_email_direction": "EMAIL"},
    "objects.goals": {},
    "objects.meetings": {"hs_timestamp": "2026-01-01T00:00:00Z"},
    "objects.notes": {"hs_timestamp": "2026-01-01T00:00:00Z"},
    "objects.postal_mail": {"hs_timestamp": "2026-01-01T00:00:00Z"},
    "objects.tasks": {"hs_timestamp": "2026-01-01T00:00:00Z"},
    "objects.taxes": {},
    "commerce.invoices": {"hs_currency": "USD"},
}


@check
def every_type_of_the_client_is_served(api, emulator):
    for name, values in TYPES.items():
        kind = api.crm
        for part in name.split("."):
            kind = getattr(kind, part)
        made = kind.batch_api.create({"inputs": [{"properties": values, "objectWriteTraceId": "1"}]})
        assert len(made.results) == 1, (name, made)
        id = made.results[0].id
        assert kind.basic_api.get_by_id(id).id == id, name
        filters = [{"propertyName": "hs_object_id", "operator": "EQ", "value": id}]
        found = kind.search_api.do_search({"filterGroups": [{"filters": filters}], "limit": 1})
        assert [one.id for one in found.results] == [id], name
        assert any(one.id == id for one in kind.basic_api.get_page(limit=100, after=id).results), name
        kind.basic_api.archive(id)


# The client's own retries.

ROLLING = {
    "status": "error",
    "message": "You have reached your ten_secondly_rolling limit.",
    "errorType": "RATE_LIMIT",
    "correlationId": "c033cdaa-2c40-4a64-ae48-b4cec88dad24",
    "policyName": "TEN_SECONDLY_ROLLING",
    "requestId": "3d3e35b7-0dae-4b9f-a6e3-9c230cbcf8dd",
}


def patient(emulator, **how):
    retry = Retry(total=5, allowed_methods=None, raise_on_status=False, **how)
    return HubSpot(access_token="client", host=emulator.url, retry=retry)


@check
def a_rate_limit_is_outlived(api, emulator):
    emulator.fault("/crm/v3/owners*", action="refuse", status=429, body=ROLLING, times=3)
    refusal(429, owners, api.crm.owners.owners_api.get_page)
    waiting = patient(emulator, status_forcelist=(429,), backoff_factor=0.01)
    assert waiting.crm.owners.owners_api.get_page().results
    fired = emulator.control("faults")["faults"][0]["fired"]
    assert fired == 3, "two of the three met the patient client"
    emulator.control("faults", method="DELETE")


@check
def the_true_limit_is_outlived(api, emulator):
    emulator.control("clock", {"stopped": True})
    emulator.control("clock", {"advance_ms": 11_000})
    emulator.control("limits", {"per_ten_seconds": 2})
    get_page = api.crm.owners.owners_api.get_page
    get_page(), get_page()
    error = refusal(429, owners, get_page)
    assert body_of(error)["policyName"] == "TEN_SECONDLY_ROLLING" and "Retry-After" not in error.headers
    # The window passes while the client waits.
    emulator.control("clock", {"stopped": False, "advance_ms": 9_000})
    started = time.monotonic()
    waiting = patient(emulator, status_forcelist=(429,), backoff_factor=0.4)
    assert waiting.crm.owners.owners_api.get_page().results
    assert time.monotonic() - started > 0.3, "the first try met the limit"
    emulator.control("limits", {"per_ten_seconds": 1_000_000})


@check
def a_search_limit_is_outlived(api, emulator):
    emulator.control("limits", {"searches_per_second": 1})
    search = patient(emulator, status_forcelist=(429,), backoff_factor=0.4).crm.contacts.search_api.do_search
    before = emulator.counts()["objects.search"].get("429", 0)
    for _ in range(3):
        assert search(contacts.PublicObjectSearchRequest(limit=1)).results
    assert emulator.counts()["objects.search"].get("429", 0) > before
    emulator.control("limits", {"searches_per_second": 1_000_000})


@check
def gateways_that_fail_are_outlived(api, emulator):
    waiting = patient(emulator, status_forcelist=(500, 502, 503, 504), backoff_factor=0.01)
    for status in (502, 503, 504):
        emulator.fault("/crm/v3/owners*", action="refuse", status=status, times=2)
        assert waiting.crm.owners.owners_api.get_page().results
    emulator.fault("/crm/v3/objects/contacts/batch/create", action="apply_then", status=502, times=1)
    rows = [{"properties": {"email": "applied@client.example"}, "objectWriteTraceId": "1"}]
    parts = waiting.crm.contacts.batch_api.create({"inputs": rows})
    # The first try had been applied: what comes back is a conflict with oneself.
    assert parts.results == [] and parts.errors[0].category == "CONFLICT"
    emulator.control("faults", method="DELETE")


@check
def a_wait_in_seconds_is_kept(api, emulator):
    emulator.fault("/crm/v3/owners*", action="refuse", status=477, retry_after=1, times=1)
    waiting = patient(emulator, status_forcelist=(477,), respect_retry_after_header=True)
    waiting.config["retry"].RETRY_AFTER_STATUS_CODES = frozenset([477])
    started = time.monotonic()
    assert waiting.crm.owners.owners_api.get_page().results
    assert time.monotonic() - started >= 1


# Webhooks.

APP_ID = 1160452


def hooks_api(emulator):
    return HubSpot(api_key="developer-key", host=emulator.url).webhooks


@check
def an_app_subscribes(api, emulator):
    hooks = hooks_api(emulator)
    throttling = {"maxConcurrentRequests": 10, "period": "SECONDLY"}
    settings = {"targetUrl": "http://127.0.0.1:9/never", "throttling": throttling}
    assert hooks.settings_api.configure(APP_ID, settings).target_url == settings["targetUrl"]
    assert hooks.settings_api.get_all(APP_ID).throttling.max_concurrent_requests == 10
    made = hooks.subscriptions_api.create(APP_ID, {"eventType": "contact.deletion", "active": False})
    assert made.active is False and isinstance(made.created_at, datetime)
    change = {"inputs": [{"id": int(made.id), "active": True}]}
    assert hooks.subscriptions_api.update_batch(APP_ID, change).results[0].active
    assert hooks.subscriptions_api.update(made.id, APP_ID, {"active": False}).active is False
    assert hooks.subscriptions_api.get_by_id(made.id, APP_ID).event_type == "contact.deletion"
    hooks.subscriptions_api.archive(made.id, APP_ID)
    assert hooks.subscriptions_api.get_all(APP_ID).results == []
    hooks.settings_api.clear(APP_ID)
    refusal(404, webhooks, hooks.settings_api.get_all, APP_ID)


@check
def a_delivery_is_signed_as_the_client_expects(api, emulator):
    hooks = hooks_api(emulator)
    with Receiver() as receiver:
        throttling = {"maxConcurrentRequests": 10, "period": "SECONDLY"}
        target = f"{receiver.url}/hubspot?tenant=a%20b"
        hooks.settings_api.configure(APP_ID, {"targetUrl": target, "throttling": throttling})
        hooks.subscriptions_api.create(APP_ID, {"eventType": "contact.creation", "active": True})
        made = api.crm.contacts.basic_api.create(contact(email="heard@client.example"))
        emulator.control("webhooks/flush", method="POST")
        path, headers, body = receiver.requests[0]
        hooks.settings_api.clear(APP_ID)
    events = json.loads(body)
    assert [(one["subscriptionType"], one["objectId"]) for one in events] == [
        ("contact.creation", int(made.id))
    ]
    signed = dict(client_secret=WEBHOOK_SECRET, request_body=body, http_uri=f"{receiver.url}{path}")
    assert Signature.is_valid(headers["X-HubSpot-Signature"], signature_version="v1", **signed)
    third = dict(signature_version="v3", timestamp=headers["X-HubSpot-Request-Timestamp"])
    assert Signature.is_valid(headers["X-HubSpot-Signature-v3"], **third, **signed)
    other = dict(signed, client_secret="another")
    assert not Signature.is_valid(headers["X-HubSpot-Signature-v3"], **third, **other)


# Tokens.

APP = {
    "client_id": "client-app",
    "client_secret": "client-app-secret",
    "name": "Client",
    "redirect_uris": ["https://app.example/back"],
}
KEYS = {"client_id": APP["client_id"], "client_secret": APP["client_secret"]}


def installed(api, emulator):
    """The tokens of an app that somebody has just connected."""
    emulator.control("credentials", {"apps": [APP], "approve_at_once": True})
    asked = get_auth_url(
        APP["client_id"], APP["redirect_uris"][0], scope=("oauth", "crm.objects.contacts.read"), state="s1"
    )
    usual = "https://app.hubspot.com"
    assert asked.startswith(usual)
    back = parse_qs(urlparse(emulator.redirect(asked.removeprefix(usual))).query)
    assert back["state"] == ["s1"]
    code = dict(grant_type="authorization_code", code=back["code"][0], redirect_uri=APP["redirect_uris"][0])
    tokens = HubSpot(host=emulator.url).oauth.tokens_api.create(**code, **KEYS)
    error = refusal(400, oauth, api.oauth.tokens_api.create, **code, **KEYS)
    assert body_of(error)["status"] == "BAD_AUTH_CODE"
    return tokens


@check
def an_app_is_connected_and_its_token_refreshed(api, emulator):
    tokens = installed(api, emulator)
    assert (tokens.token_type, tokens.expires_in) == ("bearer", 1800)
    mine = HubSpot(access_token=tokens.access_token, host=emulator.url)
    page = mine.crm.contacts.basic_api.get_page_with_http_info(limit=1)
    assert "X-HubSpot-RateLimit-Daily" not in page[2], "OAuth has no daily limit"
    refusal(403, deals, mine.crm.deals.basic_api.get_page)
    told = api.oauth.access_tokens_api.get(tokens.access_token)
    assert set(told.scopes) == {"oauth", "crm.objects.contacts.read"} and told.token_type == "access"
    assert api.oauth.refresh_tokens_api.get(tokens.refresh_token).client_id == APP["client_id"]
    emulator.control("credentials", {"expire": True})
    error = refusal(401, contacts, mine.crm.contacts.basic_api.get_page)
    assert body_of(error)["category"] == "EXPIRED_AUTHENTICATION"
    more = api.oauth.tokens_api.create(grant_type="refresh_token", refresh_token=tokens.refresh_token, **KEYS)
    mine.access_token = more.access_token
    assert mine.crm.contacts.basic_api.get_page(limit=1).results
    api.oauth.refresh_tokens_api.archive(tokens.refresh_token)
    again = dict(grant_type="refresh_token", refresh_token=tokens.refresh_token)
    error = refusal(400, oauth, api.oauth.tokens_api.create, **again, **KEYS)
    assert body_of(error)["status"] == "BAD_REFRESH_TOKEN"


@check
def no_token_is_no_access(api, emulator):
    error = refusal(401, contacts, HubSpot(host=emulator.url).crm.contacts.basic_api.get_page)
    assert body_of(error)["category"] == "INVALID_AUTHENTICATION"


# Signatures of webhooks: the vectors of the API reference, section 14.

SECRET = "yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy"
URI = "https://www.example.com/webhook_uri"


@check
def signatures_are_as_published(api, emulator):
    sign = Signature.get_signature
    single = "{'example_field':'example_value'}"
    assert (
        sign(SECRET, single, "v3", URI, "POST", "1693657560000")
        == "K36dawei4A+QBNolUOqo7s91KQDWQ5MXZ/QufNYuk/Y="
    )
    assert (
        sign(SECRET, single, "v3", URI, "POST", "1700000300000")
        == "RnbPH7+UMKVkbV32P8bz450N4M56aPmcru1+D3kSDtw="
    )
    double = '{"example_field":"example_value"}'
    assert (
        sign(SECRET, double, "v2", URI) == "9569219f8ba981ffa6f6f16aa0f48637d35d728c7e4d93d0d52efaa512af7900"
    )
    event = (
        '[{"eventId":1,"subscriptionId":12345,"portalId":62515,"occurredAt":1564113600000,"subscriptionType":"contact.creation",'
        '"attemptNumber":0,"objectId":123,"changeSource":"CRM","changeFlag":"NEW","appId":54321}]'
    )
    assert sign(SECRET, event, "v1") == "232db2615f3d666fe21a8ec971ac7b5402d33b9a925784df3ca654d05f4817de"
    signed = "https://hooks.example.test/hubspot?src=hs:app/v3&x=(a)&keep=%20%26"
    assert (
        sign("test-client-secret-01", "[]", "v3", signed, "POST", "1790000004000")
        == "JS5dNpyZRURSxSJcxm3HC2vIz162oy3FXU4nnJqz/N0="
    )
    try:
        Signature.is_valid("x", SECRET, "", URI, signature_version="v3", timestamp="1693657560000")
    except InvalidSignatureTimestampError:
        return
    raise AssertionError("an old timestamp is taken")


# What the manual shows.

HERE = Path(__file__).parent
PAGE = HERE / "../../../docs/emulator.md"


@check
def the_script_of_the_manual_works(api, emulator):
    script = (HERE / "quickstart.py").read_text()
    if PAGE.exists():
        shown = re.search(r"^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
        assert shown and shown[1] == script, "docs/emulator.md shows another script than quickstart.py"
    usual = "http://127.0.0.1:8117"
    assert script.count(usual) == 1 and len(script.split("\n")) <= 15
    # A reader runs it more than once.
    for _ in range(2):
        ran = subprocess.run(
            [sys.executable, "-c", script.replace(usual, emulator.url)],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert ran.returncode == 0, ran.stderr
        lines = ran.stdout.splitlines()
        assert len(lines) == 4 and " ada@example.com 20" in lines[3], lines


def main():
    wanted = sys.argv[1:]
    passed = failed = 0
    options = [
        "--contacts",
        str(CONTACTS),
        "--companies",
        "40",
        "--deals",
        "30",
        "--index-lag",
        "0s",
        "--limit",
        "1000000",
        "--webhook-secret",
        WEBHOOK_SECRET,
    ]
    with Emulator(*options) as emulator:
        emulator.control("limits", {"searches_per_second": 1_000_000})
        api = HubSpot(access_token="client", host=emulator.url)
        for function in CHECKS:
            if wanted and function.__name__ not in wanted:
                continue
            try:
                function(api, emulator)
                passed += 1
                print(f"ok {function.__name__}")
            except Exception:
                failed += 1
                traceback.print_exc()
                print(f"FAILED {function.__name__}")
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed or not passed else 0)


if __name__ == "__main__":
    main()
