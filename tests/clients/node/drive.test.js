'use strict'
// Drives the emulator with HubSpot's official Node client.
//
// usage: HUBLAKE=path/to/hublake node --test drive.test.js

const assert = require('node:assert/strict')
const { after, before, test } = require('node:test')

const { Client, Signature } = require('@hubspot/api-client')

const { Emulator } = require('./emulator')

const CONTACTS = 230
let emulator
let api

before(async () => {
  const sizes = ['--contacts', String(CONTACTS), '--companies', '40', '--deals', '30']
  emulator = await Emulator.start(...sizes, '--index-lag', '0s', '--limit', '1000000')
  await emulator.control('limits', { searches_per_second: 1_000_000 })
  api = client()
})

after(() => emulator.stop())

// The client keeps its retries for the whole process: what a test asks for
// holds until the next client is made.
function client(settings = {}) {
  return new Client({ accessToken: 'client', basePath: emulator.url, ...settings })
}

// The refusal that a call has to meet.
async function refusal(status, promise) {
  const error = await promise.then(
    (answer) => assert.fail(`no refusal but ${JSON.stringify(answer)}`),
    (error) => error,
  )
  assert.equal(error.code, status, error.message)
  return error
}

const contact = (properties) => api.crm.contacts.basicApi.create({ properties, associations: [] })
const sorted = (ids) => [...ids].sort()
const usual = (associationTypeId) => [{ associationCategory: 'HUBSPOT_DEFINED', associationTypeId }]

test('every page is walked', async () => {
  const everyone = await api.crm.contacts.getAll(100, undefined, ['email'], undefined, ['companies'])
  const ids = everyone.map((one) => Number(one.id))
  assert.ok(ids.length > 200, `${ids.length} contacts`)
  assert.ok(ids.every((id, at) => at === 0 || ids[at - 1] < id))
  assert.ok(everyone.every((one) => one.createdAt instanceof Date && one.archived === false))
  assert.ok(everyone.some((one) => one.properties.email === null))
  const tied = everyone.find((one) => one.associations)
  assert.equal(tied.associations.companies.results[0].type.startsWith('contact_to_company'), true)
})

test('archived records have a list of their own', async () => {
  const made = await contact({ email: 'archived@client.example' })
  await api.crm.contacts.basicApi.archive(made.id)
  await api.crm.contacts.basicApi.archive(made.id)
  const gone = await api.crm.contacts.getAll(100, undefined, undefined, undefined, undefined, true)
  const found = gone.find((one) => one.id === made.id)
  assert.ok(found.archived && found.archivedAt instanceof Date)
  await refusal(404, api.crm.contacts.basicApi.getById(made.id))
})

test('one is read by id and by email, with its history', async () => {
  const basic = api.crm.contacts.basicApi
  const made = await contact({ email: 'By.Email@client.example', firstname: 'By' })
  const read = await basic.getById('by.email@CLIENT.example', ['firstname'], undefined, undefined, false, 'email')
  assert.deepEqual([read.id, read.properties.firstname], [made.id, 'By'])
  await basic.update(made.id, { properties: { firstname: 'Now' } })
  const history = await basic.getById(made.id, undefined, ['firstname'])
  assert.deepEqual(history.propertiesWithHistory.firstname.map((version) => version.value), ['Now', 'By'])
  const error = await refusal(404, basic.getById('1'))
  assert.equal(error.body.message, 'resource not found')
  await refusal(400, basic.getPage(51, undefined, undefined, ['firstname']))
  await refusal(400, api.crm.objects.basicApi.getPage('butterflies'))
})

test('a search is paged and refused beyond its bounds', async () => {
  const search = api.crm.contacts.searchApi
  const request = {
    filterGroups: [{ filters: [{ propertyName: 'email', operator: 'HAS_PROPERTY' }] }],
    sorts: ['hs_object_id'],
    properties: ['email'],
    limit: 80,
  }
  const found = []
  let after
  for (let turn = 0; turn < 20; turn++) {
    const page = await search.doSearch({ ...request, after })
    found.push(...page.results.map((one) => one.id))
    after = page.paging?.next?.after
    if (!after) break
  }
  const have = (await api.crm.contacts.getAll(100)).filter((one) => one.properties.email)
  assert.deepEqual(sorted(found), sorted(have.map((one) => one.id)))
  await refusal(400, search.doSearch({ limit: 201 }))
  await refusal(400, search.doSearch({ limit: 100, after: '9950' }))
})

test('a batch is created, updated, upserted and archived', async () => {
  const batch = api.crm.contacts.batchApi
  const emails = Array.from({ length: 100 }, (_, turn) => `batch${turn}@client.example`)
  const made = await batch.create({ inputs: emails.map((email) => ({ properties: { email }, associations: [] })) })
  assert.equal(made.status, 'COMPLETE')
  assert.deepEqual(sorted(made.results.map((one) => one.properties.email)), sorted(emails))
  const ids = made.results.map((one) => one.id)
  const updated = await batch.update({ inputs: ids.map((id) => ({ id, properties: { jobtitle: id } })) })
  assert.ok(updated.results.every((one) => one.properties.jobtitle === one.id))
  const read = await batch.read({
    properties: ['jobtitle'],
    propertiesWithHistory: [],
    idProperty: 'email',
    inputs: emails.map((id) => ({ id })),
  })
  assert.deepEqual(sorted(read.results.map((one) => one.id)), sorted(ids))
  const upserted = await batch.upsert({
    inputs: ['Batch0@Client.example', 'fresh@client.example'].map((id) => ({
      id,
      idProperty: 'email',
      properties: { email: id, firstname: 'Up' },
    })),
  })
  const fresh = Object.fromEntries(upserted.results.map((one) => [one.properties.email, one._new]))
  assert.deepEqual(fresh, { 'batch0@client.example': false, 'fresh@client.example': true })
  await batch.archive({ inputs: ids.map((id) => ({ id })) })
  await batch.archive({ inputs: ids.map((id) => ({ id })) })
})

test('parts of a batch fail, or the whole of it', async () => {
  const batch = api.crm.contacts.batchApi
  const row = (email, objectWriteTraceId) => ({ properties: { email }, associations: [], objectWriteTraceId })
  const parts = await batch.create({ inputs: [row('part@client.example', 'good'), row('nonsense', 'bad')] })
  assert.equal(parts.results.length, 1)
  assert.equal(parts.numErrors, 1)
  assert.deepEqual(parts.errors[0].context.objectWriteTraceId, ['bad'])
  const again = await batch.create({ inputs: [row('part@client.example', 'again')] })
  assert.equal(again.errors[0].category, 'CONFLICT')
  assert.deepEqual(again.errors[0].context.existingId, [parts.results[0].id])
  const missing = await batch.update({ inputs: [{ id: '1', properties: { firstname: 'x' } }] })
  assert.deepEqual(missing.errors[0].context.ids, ['1'])
  const whole = await refusal(400, batch.create({ inputs: [row('fine@client.example'), row('nonsense')] }))
  assert.equal(whole.body.errors[0].code, 'INVALID_EMAIL')
  const taken = await refusal(409, batch.create({ inputs: [row('fine@client.example'), row('part@client.example')] }))
  assert.equal(taken.body.category, 'CONFLICT')
  await refusal(404, api.crm.contacts.basicApi.getById('fine@client.example', [], [], [], false, 'email'))
  const many = Array.from({ length: 101 }, (_, turn) => row(`many${turn}@client.example`))
  await refusal(400, batch.create({ inputs: many }))
})

test('a merge makes a third, and a person is forgotten', async () => {
  const basic = api.crm.contacts.basicApi
  const [kept, other] = [await contact({ email: 'kept@client.example' }), await contact({ email: 'half@client.example' })]
  const merged = await basic.merge({ primaryObjectId: kept.id, objectIdToMerge: other.id })
  assert.ok(![kept.id, other.id].includes(merged.id))
  assert.equal((await basic.getById(other.id)).id, merged.id)
  await basic.purge({ objectId: merged.id })
  await refusal(404, basic.getById(merged.id))
})

test('pairs are tied, labelled and untied', async () => {
  const ties = api.crm.associations.v4
  const person = await contact({ email: 'tied@client.example' })
  const firms = []
  for (const name of ['One', 'Two', 'Three']) {
    firms.push(await api.crm.companies.basicApi.create({ properties: { name }, associations: [] }))
  }
  const [one, two, three] = firms
  const made = await ties.basicApi.createDefault('contacts', person.id, 'companies', one.id)
  assert.equal(made.status, 'COMPLETE')
  const pair = await ties.basicApi.create('contacts', person.id, 'companies', two.id, usual(279))
  assert.equal(String(pair.toObjectId), two.id)
  await ties.batchApi.create('contacts', 'companies', {
    inputs: [{ _from: { id: person.id }, to: { id: three.id }, types: usual(1) }],
  })
  const page = await ties.basicApi.getPage('contacts', person.id, 'companies', undefined, 2)
  const rest = await ties.basicApi.getPage('contacts', person.id, 'companies', page.paging.next.after, 2)
  const tied = [...page.results, ...rest.results]
  assert.deepEqual(sorted(tied.map((one) => String(one.toObjectId))), sorted(firms.map((firm) => firm.id)))
  const primary = tied.find((one) => one.associationTypes.some((kind) => kind.label === 'Primary'))
  assert.equal(String(primary.toObjectId), three.id)
  const loner = await contact({ email: 'loner@client.example' })
  const read = await ties.batchApi.getPage('contacts', 'companies', { inputs: [{ id: person.id }, { id: loner.id }] })
  assert.deepEqual(read.results.map((one) => [one._from.id, one.to.length]), [[person.id, 3]])
  assert.equal(read.errors[0].subCategory, 'crm.associations.NO_ASSOCIATIONS_FOUND')

  const labels = api.crm.associations.v4.schema.definitionsApi
  await labels.create('contacts', 'companies', { name: 'payer', label: 'Payer', inverseLabel: 'Paid for by' })
  const kind = (await labels.getAll('contacts', 'companies')).results.find((one) => one.label === 'Payer')
  const labelled = {
    _from: { id: person.id },
    to: { id: one.id },
    types: [{ associationCategory: 'USER_DEFINED', associationTypeId: kind.typeId }],
  }
  await ties.batchApi.create('contacts', 'companies', { inputs: [labelled] })
  const kinds = async () => {
    const page = await ties.basicApi.getPage('contacts', person.id, 'companies')
    return page.results.find((other) => String(other.toObjectId) === one.id).associationTypes.map((kind) => kind.label)
  }
  assert.ok((await kinds()).includes('Payer'))
  await ties.batchApi.archiveLabels('contacts', 'companies', { inputs: [labelled] })
  assert.ok(!(await kinds()).includes('Payer'))

  await ties.batchApi.archive('contacts', 'companies', { inputs: [{ _from: { id: person.id }, to: [{ id: one.id }] }] })
  await ties.basicApi.archive('contacts', person.id, 'companies', two.id)
  const left = await ties.basicApi.getPage('contacts', person.id, 'companies')
  assert.deepEqual(left.results.map((other) => String(other.toObjectId)), [three.id])
})

test('properties and their groups are made, changed and dropped', async () => {
  const { coreApi, groupsApi, batchApi } = api.crm.properties
  await groupsApi.create('contacts', { name: 'client_group', label: 'Client', displayOrder: 3 })
  assert.equal((await groupsApi.update('contacts', 'client_group', { label: 'Clients' })).label, 'Clients')
  const property = {
    name: 'client_colour',
    label: 'Colour',
    type: 'enumeration',
    fieldType: 'select',
    groupName: 'client_group',
    options: [{ label: 'Red', value: 'red', hidden: false, displayOrder: 0 }],
  }
  const made = await coreApi.create('contacts', property)
  assert.ok(made.createdAt instanceof Date && made.archived === false)
  const error = await refusal(409, coreApi.create('contacts', property))
  assert.equal(error.body.subCategory, 'Properties.PROPERTY_WITH_NAME_EXISTS')
  const green = await refusal(400, contact({ email: 'green@client.example', client_colour: 'green' }))
  assert.equal(green.body.errors[0].code, 'INVALID_OPTION')
  const parts = await batchApi.create('contacts', { inputs: [property, { ...property, name: 'client_shade' }] })
  assert.deepEqual(parts.results.map((one) => one.name), ['client_shade'])
  const read = await batchApi.read('contacts', { archived: false, inputs: [{ name: 'client_shade' }] })
  assert.equal(read.results[0].label, 'Colour')
  await refusal(400, groupsApi.archive('contacts', 'client_group'))
  await coreApi.archive('contacts', 'client_colour')
  await batchApi.archive('contacts', { inputs: [{ name: 'client_shade' }] })
  await refusal(404, coreApi.getByName('contacts', 'client_colour'))
  const gone = await coreApi.getAll('contacts', true)
  assert.ok(gone.results.some((one) => one.name === 'client_colour'))
  await groupsApi.archive('contacts', 'client_group')
})

test("a type of one's own is made", async () => {
  const { coreApi } = api.crm.schemas
  const made = await coreApi.create({
    name: 'client_boat',
    labels: { singular: 'Boat', plural: 'Boats' },
    primaryDisplayProperty: 'name',
    requiredProperties: ['name'],
    searchableProperties: ['name'],
    secondaryDisplayProperties: [],
    associatedObjects: ['CONTACT'],
    properties: [{ name: 'name', label: 'Name', type: 'string', fieldType: 'text' }],
  })
  assert.match(made.objectTypeId, /^2-/)
  const boat = await api.crm.objects.basicApi.create(made.objectTypeId, { properties: { name: 'Ada' }, associations: [] })
  const page = await api.crm.objects.basicApi.getPage(made.fullyQualifiedName, 10, undefined, ['name'])
  assert.deepEqual(page.results.map((one) => one.properties.name), ['Ada'])
  await refusal(400, coreApi.archive(made.objectTypeId))
  await api.crm.objects.basicApi.archive(made.objectTypeId, boat.id)
  await coreApi.archive(made.objectTypeId)
  assert.ok((await coreApi.getAll()).results.every((one) => one.id !== made.id))
})

test('owners, pipelines and stages are read', async () => {
  const owners = await api.crm.owners.ownersApi.getPage(undefined, undefined, 3)
  assert.equal(owners.results.length, 3)
  const more = await api.crm.owners.ownersApi.getPage(undefined, owners.paging.next.after, 100)
  assert.ok(more.results.length > 0)
  const [first] = owners.results
  assert.equal((await api.crm.owners.ownersApi.getById(first.userId, 'userId')).id, first.id)
  const pipelines = (await api.crm.pipelines.pipelinesApi.getAll('deals')).results
  const stages = (await api.crm.pipelines.pipelineStagesApi.getAll('deals', pipelines[0].id)).results
  assert.deepEqual(stages.map((stage) => stage.id), pipelines[0].stages.map((stage) => stage.id))
  assert.equal(stages[0].metadata.isClosed, 'false')
})

test('a list is kept', async () => {
  const { listsApi, membershipsApi } = api.crm.lists
  const made = (await listsApi.create({ name: 'Chosen', objectTypeId: '0-1', processingType: 'MANUAL' })).list
  const people = (await api.crm.contacts.basicApi.getPage(5)).results.map((one) => one.id)
  const added = await membershipsApi.add(made.listId, people)
  assert.deepEqual(sorted(added.recordsIdsAdded), sorted(people))
  const page = await membershipsApi.getPage(made.listId, undefined, undefined, 3)
  // This cursor comes percent-encoded, and the client encodes what it sends.
  const after = decodeURIComponent(page.paging.next.after)
  const rest = await membershipsApi.getPage(made.listId, after, undefined, 3)
  assert.deepEqual(sorted([...page.results, ...rest.results].map((one) => String(one.recordId))), sorted(people))
  await membershipsApi.remove(made.listId, people.slice(0, 2))
  const found = await listsApi.doSearch({ query: 'Chos', offset: 0, count: 5 })
  assert.deepEqual(found.lists.map((one) => one.listId), [made.listId])
  await listsApi.remove(made.listId)
})

test('the account tells about itself', async () => {
  const details = await (await api.apiRequest({ path: '/account-info/v3/details' })).json()
  assert.equal(details.dataHostingLocation, 'na1')
  const usage = await (await api.apiRequest({ path: '/account-info/v3/api-usage/daily/private-apps' })).json()
  assert.ok(usage.results[0].currentUsage > 0)
})

// The client's own retries.

const refused = (policyName, message) => ({
  status: 'error',
  message,
  errorType: 'RATE_LIMIT',
  correlationId: 'c033cdaa-2c40-4a64-ae48-b4cec88dad24',
  policyName,
  requestId: '3d3e35b7-0dae-4b9f-a6e3-9c230cbcf8dd',
})

test('a client without retries meets the limit', async () => {
  const body = refused('TEN_SECONDLY_ROLLING', 'You have reached your ten_secondly_rolling limit.')
  await emulator.fault('/crm/v3/owners*', { action: 'refuse', status: 429, body, times: 1 })
  await refusal(429, client().crm.owners.ownersApi.getPage())
})

test('a client with retries outlives the limit', async () => {
  // Ten seconds' worth of calls is used up; the client waits ten seconds.
  const { now_ms: start } = await emulator.control('clock', { advance_ms: 11_000 })
  await emulator.control('limits', { per_ten_seconds: 1 })
  const patient = client({ numberOfApiCallRetries: 3 })
  await patient.crm.owners.ownersApi.getPage()
  await patient.crm.owners.ownersApi.getPage()
  const { now_ms: end } = await emulator.control('clock')
  assert.ok(end - start >= 10_000, 'the second call met the limit')
  assert.equal((await emulator.counts())['owners.list']['429'] >= 1, true)
  await emulator.control('limits', { per_ten_seconds: 1_000_000 })
})

test('a client with retries outlives the limit of searches', async () => {
  const message = 'You have reached your secondly limit.'
  const body = { status: 'error', message, correlationId: 'c033cdaa-2c40-4a64-ae48-b4cec88dad24', category: 'RATE_LIMITS' }
  await emulator.fault('/crm/v3/objects/*/search', { action: 'refuse', status: 429, body, times: 1 })
  const patient = client({ numberOfApiCallRetries: 3 })
  const page = await patient.crm.contacts.searchApi.doSearch({ limit: 1 })
  assert.equal(page.results.length, 1)
})

test('a client with retries outlives gateways that fail', async () => {
  for (const status of [500, 502, 503, 504, 524]) {
    await emulator.fault('/crm/v3/owners*', { action: 'refuse', status, times: 1 })
    const patient = client({ numberOfApiCallRetries: 2 })
    assert.ok((await patient.crm.owners.ownersApi.getPage()).results.length > 0)
  }
  await emulator.control('faults', undefined, 'DELETE')
})

// Tokens.

test('an app is connected and its token refreshed', async () => {
  const keys = ['client-app', 'client-app-secret']
  const back = 'https://app.example/back'
  const apps = [{ client_id: keys[0], client_secret: keys[1], name: 'Client', redirect_uris: [back] }]
  await emulator.control('credentials', { apps, approve_at_once: true })
  const scopes = 'oauth crm.objects.contacts.read'
  const asked = new URL(api.oauth.getAuthorizationUrl(keys[0], back, scopes, undefined, 's1'))
  assert.equal(asked.origin, 'https://app.hubspot.com')
  const page = await fetch(`${emulator.url}${asked.pathname}${asked.search}`, { redirect: 'manual' })
  const answer = new URL(page.headers.get('location')).searchParams
  assert.equal(answer.get('state'), 's1')
  const exchange = () => api.oauth.tokensApi.create('authorization_code', answer.get('code'), back, ...keys)
  const tokens = await exchange()
  assert.deepEqual([tokens.tokenType, tokens.expiresIn], ['bearer', 1800])
  const again = await refusal(400, exchange())
  assert.equal(again.body.status, 'BAD_AUTH_CODE')

  const mine = client({ accessToken: tokens.accessToken })
  assert.equal((await mine.crm.contacts.basicApi.getPage(1)).results.length, 1)
  const forbidden = await refusal(403, mine.crm.deals.basicApi.getPage(1))
  assert.equal(forbidden.body.category, 'MISSING_SCOPES')
  const told = await api.oauth.accessTokensApi.get(tokens.accessToken)
  assert.deepEqual(sorted(told.scopes), sorted(scopes.split(' ')))

  await emulator.control('credentials', { expire: true })
  const expired = await refusal(401, mine.crm.contacts.basicApi.getPage(1))
  assert.equal(expired.body.category, 'EXPIRED_AUTHENTICATION')
  const refresh = () =>
    api.oauth.tokensApi.create('refresh_token', undefined, undefined, ...keys, tokens.refreshToken)
  mine.setAccessToken((await refresh()).accessToken)
  assert.equal((await mine.crm.contacts.basicApi.getPage(1)).results.length, 1)
  await api.oauth.refreshTokensApi.archive(tokens.refreshToken)
  const revoked = await refusal(400, refresh())
  assert.equal(revoked.body.status, 'BAD_REFRESH_TOKEN')
})

// Signatures of webhooks: the vectors of the API reference, section 14.

test('signatures are as published', () => {
  const clientSecret = 'yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy'
  const url = 'https://www.example.com/webhook_uri'
  const single = "{'example_field':'example_value'}"
  const v3 = (timestamp, signature) => [
    Signature.getSignature('POST', 'v3', { clientSecret, url, requestBody: single, timestamp }),
    signature,
  ]
  assert.equal(...v3(1693657560000, 'K36dawei4A+QBNolUOqo7s91KQDWQ5MXZ/QufNYuk/Y='))
  assert.equal(...v3(1700000300000, 'RnbPH7+UMKVkbV32P8bz450N4M56aPmcru1+D3kSDtw='))
  const v2 = { clientSecret, url, requestBody: '{"example_field":"example_value"}' }
  const signature = '9569219f8ba981ffa6f6f16aa0f48637d35d728c7e4d93d0d52efaa512af7900'
  assert.ok(Signature.isValid({ ...v2, signatureVersion: 'v2', signature }))
  const requestBody =
    '[{"eventId":1,"subscriptionId":12345,"portalId":62515,"occurredAt":1564113600000,"subscriptionType":"contact.creation",' +
    '"attemptNumber":0,"objectId":123,"changeSource":"CRM","changeFlag":"NEW","appId":54321}]'
  const v1 = '232db2615f3d666fe21a8ec971ac7b5402d33b9a925784df3ca654d05f4817de'
  assert.ok(Signature.isValid({ clientSecret, requestBody, signature: v1 }))
  assert.ok(!Signature.isValid({ clientSecret, requestBody: `${requestBody} `, signature: v1 }))
  const old = { clientSecret, url, requestBody: '', signatureVersion: 'v3', timestamp: 1693657560000, signature: 'x' }
  assert.throws(() => Signature.isValid(old), /Timestamp is invalid/)
})
