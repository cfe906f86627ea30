import AxeBuilder from '@axe-core/playwright'
import { expect, type Page, test } from '@playwright/test'
import { type Plant, start } from './plant.ts'

const password = 'correct horse battery'

let plant: Plant
test.describe.configure({ mode: 'serial' })
test.beforeAll(async () => {
  plant = await start()
})
test.afterAll(async () => {
  await plant?.stop()
})

async function signIn(page: Page, secret = password) {
  await page.goto(plant.url)
  await page.getByLabel('User').fill('ann')
  await page.getByLabel('Password', { exact: true }).fill(secret)
  await page.getByRole('button', { name: 'Sign in' }).click()
}

const isLive = (page: Page) => expect(page.locator('.connection')).toHaveText('Live')

async function violations(page: Page) {
  const { violations: list } = await new AxeBuilder({ page }).withTags(['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa']).analyze()
  return list.map((v) => `${v.id}: ${v.nodes.map((n) => n.html).join(' ')}`)
}

test('the setup token makes the first administrator, once', async ({ page }) => {
  await page.goto(plant.url)
  await page.getByRole('button', { name: 'First start' }).click()
  const make = async (token: string) => {
    await page.getByLabel('Setup token').fill(token)
    await page.getByLabel('User').fill('ann')
    await page.getByLabel('Password', { exact: true }).fill(password)
    await page.getByRole('button', { name: 'Sign in' }).click()
  }
  await make('wrong')
  await expect(page.getByRole('alert')).toContainText('This setup token is not accepted')
  await make(plant.setupToken)
  await isLive(page)
  await expect(page.locator('.role')).toHaveText('Administrator')
  await expect(page.getByText('ess-3')).toBeVisible()

  await page.getByRole('button', { name: 'Sign out' }).click()
  await page.getByRole('button', { name: 'First start' }).click()
  await make(plant.setupToken)
  await expect(page.getByRole('alert')).toContainText('This setup token is not accepted')
})

test('a wrong password is told, a right one signs in, and a command is done', async ({ page }) => {
  await signIn(page, 'wrong horse battery')
  await expect(page.getByRole('alert')).toHaveText('User or password is wrong.')
  expect(await violations(page)).toEqual([])
  await page.getByLabel('Password', { exact: true }).fill(password)
  await page.getByRole('button', { name: 'Sign in' }).click()
  await isLive(page)

  await page.getByText('ess-2').first().click()
  await page.getByRole('radio', { name: 'Charge', exact: true }).first().check()
  await page.locator('#command-amount').fill('20')
  await page.getByRole('button', { name: 'Hold power' }).click()
  await page.locator('dialog.confirm .primary').click()
  await expect(page.locator('.sent li').first()).toContainText('Done')
  await expect(page.locator('.faceplate')).toContainText('20.0')
  await expect(page.locator('.envelope').first()).toContainText('−100.0 kW (by rating)') // what the guard lets it have
  await expect(page.locator('.limits')).toContainText('Temperature')
  expect(await violations(page)).toEqual([])
})

test('a session goes on after a reload, and ends at the plant with the sign-out', async ({ page, request }) => {
  await signIn(page)
  await isLive(page)
  await page.reload()
  await isLive(page)
  const grant = await page.evaluate(() => JSON.parse(sessionStorage.getItem('yunchu.grant')!) as { token: string; refresh: string })
  const gone = page.waitForResponse('**/api/v1/logout')
  await page.getByRole('button', { name: 'Sign out' }).click()
  expect((await gone).status()).toBe(204)
  expect((await request.get(`${plant.url}/api/v1/system`, { headers: { Authorization: `Bearer ${grant.token}` } })).status()).toBe(401)
  await page.reload()
  await expect(page.getByLabel('User')).toBeVisible()
})

test('a session is renewed before its token ends, by one tab alone', async ({ page, context }) => {
  await page.clock.install()
  await signIn(page)
  await isLive(page)
  const before = await page.evaluate(() => sessionStorage.getItem('yunchu.grant')!)

  // A copy of the tab has what the tab keeps.
  const copy = await context.newPage()
  await copy.addInitScript((kept) => sessionStorage.setItem('yunchu.grant', kept), before)
  await copy.goto(plant.url)
  await isLive(copy)
  await expect.poll(() => copy.evaluate(() => (JSON.parse(sessionStorage.getItem('yunchu.grant')!) as { refresh: string }).refresh)).toBe('')

  const renewed = page.waitForResponse('**/api/v1/refresh')
  const socket = page.waitForEvent('websocket')
  await page.clock.fastForward('11:00')
  expect((await renewed).status()).toBe(200)
  await socket
  await isLive(page)
  const after = await page.evaluate(() => sessionStorage.getItem('yunchu.grant')!)
  expect(JSON.parse(after).token).not.toBe(JSON.parse(before).token)
  await isLive(copy) // it has its token until that ends
})

test('a session that the plant has ended asks for a new sign-in', async ({ page, request }) => {
  await signIn(page)
  await isLive(page)
  const { token } = await page.evaluate(() => JSON.parse(sessionStorage.getItem('yunchu.grant')!) as { token: string })
  const headers = { Authorization: `Bearer ${token}` }
  const list = (await (await request.get(`${plant.url}/api/v1/tokens`, { headers })).json()) as { items: { id: string; user?: string }[] }
  for (const { id } of list.items.filter((i) => i.user === 'ann')) await request.delete(`${plant.url}/api/v1/tokens/${id}`, { headers })
  await expect(page.getByRole('alert')).toContainText('You are no longer signed in')
})
