export const GET = ({ params }) => new Response(`good day, ${params.name}\n`);
