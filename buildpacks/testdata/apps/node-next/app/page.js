export const dynamic = "force-dynamic";

export default function Page() {
  return <p>hello from next, {process.env.NEXT_PUBLIC_GREETING ?? "with no greeting"}</p>;
}
